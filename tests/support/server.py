"""The bundle, or any other application, on a real socket inside the test's own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from functions.app import create_app
from shared.ai.protocol import Engine
from shared.config import Settings
from shared.container import Container
from tests.support.stack import free_ports


@asynccontextmanager
async def served_bundle(settings: Settings, *, engine: Engine | None = None) -> AsyncIterator[str]:
    """Serve the bundle and give its URL, with the prefix of the functions."""
    app = create_app(settings=settings)
    container = app.state.container = Container(settings, engine=engine)
    try:
        async with served_app(app) as url:
            yield f"{url}/functions/v1"
    finally:
        await container.aclose()


@asynccontextmanager
async def served_app(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an ASGI application, without its lifespan, and give its URL."""
    (port,) = free_ports(1)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
