"""Serves the bundle beside the Supabase CLI's own stack (`supabase start`, with Docker)."""

import io
import os
import subprocess
import sys

from dotenv import dotenv_values

from local.errors import LocalStackError
from local.settings import ROOT

# What `supabase status -o env` prints, and what the functions call it.
NAMES = {
    "API_URL": "SUPABASE_URL",
    "PUBLISHABLE_KEY": "SUPABASE_PUBLISHABLE_KEY",
    "SECRET_KEY": "SUPABASE_SECRET_KEY",
    "JWT_SECRET": "SUPABASE_JWT_SECRET",
}


def serve() -> None:
    """Ask the CLI where its stack is, and serve the functions for it until stopped."""
    environment = {**os.environ, **project_environment(_status())}
    subprocess.run([sys.executable, "-m", "functions"], cwd=ROOT, env=environment, check=False)


def project_environment(status: str) -> dict[str, str]:
    """Return the settings in the CLI's `status -o env` output.

    Raises LocalStackError where one is missing.
    """
    printed = dotenv_values(stream=io.StringIO(status))
    missing = [name for name in NAMES if not printed.get(name)]
    if missing:
        raise LocalStackError(f"`supabase status` did not print {', '.join(missing)}.")
    return {ours: str(printed[theirs]) for theirs, ours in NAMES.items()}


def _status() -> str:
    try:
        done = subprocess.run(
            ["supabase", "status", "-o", "env"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
    except FileNotFoundError as exc:
        raise LocalStackError(
            "The Supabase CLI is not on the PATH; `make dev` needs none."
        ) from exc
    except subprocess.CalledProcessError as exc:
        raise LocalStackError(
            "`supabase status` failed: run `supabase start` first, or use `make dev`."
        ) from exc
    return done.stdout
