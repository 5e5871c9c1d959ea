"""The Supabase CLI that tests/clients locks, on a copy of supabase/ and kept off the network."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.node import NODE
from local.settings import ROOT

SUPABASE = ROOT / "supabase"
NOWHERE = "http://127.0.0.1:9"
TIMEOUT_SECONDS = 120

# Nothing has been asked of an empty database yet, so none of its indexes has been used.
EXCLUDED_LINTS = {"unused_index"}


@dataclass(frozen=True)
class Cli:
    """The CLI, on a copy of our supabase/ folder."""

    program: Path
    workdir: Path

    def run(self, *command: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended. Every one that takes a target is given it."""
        target = [] if url is None else [f"--remote={url}"]
        environment = {
            "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.workdir),
            "DO_NOT_TRACK": "1",
            "SUPABASE_TELEMETRY_DISABLED": "1",
            **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), NOWHERE),
        }
        return subprocess.run(
            [str(self.program), *command, *target, "--yes", "--workdir", str(self.workdir)],
            env=environment,
            cwd=self.workdir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )

    def ask(self, *command: str, url: str) -> dict[str, Any]:
        """Run a command that has to succeed, and return its answer."""
        done = self.run(*command, "--output-format", "json", url=url)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def findings(self, url: str) -> set[tuple[str, str]]:
        """Return what the advisors find, each by name and detail, but for what is excluded."""
        done = self.run(
            "db", "advisors", "--type", "all", "--level", "info", "--output-format", "json", url=url
        )
        results = json.loads(done.stdout)["results"]
        return {(r["name"], r["detail"]) for r in results if r["name"] not in EXCLUDED_LINTS}
