"""A second Data API beside a stack's own, on the same database: one that a test may spoil."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from local.stack import Stack, _answers
from tests.support.stack import free_ports


@asynccontextmanager
async def second_gateway(stack: Stack, folder: Path, **environment: str) -> AsyncIterator[int]:
    """Run another gateway on the same database, with these settings; give its port."""
    port = free_ports(1)[0]
    part = replace(
        stack.gateway,
        name="second-api",
        port=port,
        is_ready=lambda: _answers(f"http://127.0.0.1:{port}/"),
        run_dir=folder,
        log_dir=folder,
        environment={**stack.gateway.environment, "API_PORT": str(port), **environment},
    )
    await asyncio.to_thread(part.begin)
    try:
        await asyncio.to_thread(part.wait_until_ready)
        yield port
    finally:
        await asyncio.to_thread(part.stop)
