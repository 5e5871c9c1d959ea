"""The forwarders of supabase/functions under real Deno, as Supabase's edge runtime has them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import deno
import httpx

from local.settings import ROOT

FUNCTIONS = ROOT / "supabase" / "functions"
HARNESS = ROOT / "tests" / "support" / "edge.ts"
DENO = deno.find_deno_bin()
SECRET = "a-secret-that-only-the-forwarders-know"
START_SECONDS = 60


@dataclass(frozen=True)
class Edge:
    """Running forwarders, the file that their output goes to, and their process."""

    url: str
    log: Path
    pid: int

    def client(
        self, token: str | None = None, *, prefix: str = "/functions/v1"
    ) -> httpx.AsyncClient:
        """Return a client that carries this token, if any."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url + prefix, headers=headers, timeout=30)


def function_names() -> list[str]:
    """Return the names of all functions."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("*/index.ts"))


def environment(cache: Path, **settings: str) -> dict[str, str]:
    """Return what Deno is given to know: a cache of its own, and these settings."""
    return {"DENO_DIR": str(cache), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1", **settings}


@asynccontextmanager
async def edge_functions(backend: str, folder: Path, **settings: str) -> AsyncIterator[Edge]:
    """Serve every forwarder in front of a backend, given by its address without a path."""
    log = folder / "edge.log"
    given = {"FORWARD_URL": backend, "FORWARD_SECRET": SECRET, **settings}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            DENO, "run", "--quiet", "--no-remote", "--no-lock",
            "--allow-net=127.0.0.1", f"--allow-read={ROOT}", "--allow-env",
            str(HARNESS), str(FUNCTIONS), *function_names(),
            stdout=asyncio.subprocess.PIPE, stderr=errors,
            env=environment(folder / "deno", **given), cwd=folder,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        port = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert port, log.read_text()
        yield Edge(f"http://127.0.0.1:{int(port)}", log, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
