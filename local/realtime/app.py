"""The ASGI app: routes, who may open a socket, and the listener's life."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from local.realtime.connection import Connection
from local.realtime.errors import RealtimeError, TokenError
from local.realtime.frames import OBJECTS, VERSIONS
from local.realtime.http import BATCH_PATH, respond_to_error, send_batch, send_event
from local.realtime.listener import Listener
from local.realtime.services import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from local.realtime.settings import Settings


def create_app(settings: Settings) -> Starlette:
    """Make the server; its listener starts and ends with the app's lifespan."""
    app = Starlette(
        routes=[
            WebSocketRoute("/realtime/v1/websocket", open_socket),
            Route("/realtime/v1/health", health, methods=["GET"]),
            Route(BATCH_PATH, send_batch, methods=["POST"]),
            Route(f"{BATCH_PATH}/{{names:path}}", send_event, methods=["POST"]),
        ],
        exception_handlers={RealtimeError: respond_to_error},
        lifespan=_lifespan,
    )
    app.state.services = Services.build(settings)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    services: Services = app.state.services
    listening = asyncio.create_task(Listener(services.database, services.hub).run())
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def health(request: Request) -> Response:
    """Say whether broadcasts from SQL are delivered and private topics can be judged."""
    services: Services = request.app.state.services
    if services.database.is_open:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": "waiting for the database"}, status_code=503)


async def open_socket(websocket: WebSocket) -> None:
    """Check the key and the protocol version before the upgrade, then serve the connection."""
    services: Services = websocket.app.state.services
    version = websocket.query_params.get("vsn", OBJECTS)
    if version not in VERSIONS:
        await _refuse(websocket, 400, "vsn must be one of " + ", ".join(VERSIONS))
        return
    try:
        identity = services.tokens.identify(websocket.query_params.get("apikey", ""))
    except TokenError as exc:
        await _refuse(websocket, 401, str(exc))
        return
    await websocket.accept()
    await Connection(websocket, services, version=version, identity=identity).run()


async def _refuse(websocket: WebSocket, status: int, text: str) -> None:
    await websocket.send_denial_response(JSONResponse({"error": text}, status_code=status))
