"""The ASGI app: routes, who may open a socket, and the listener's life."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from local.realtime.errors import DatabaseDownError, TokenError
from local.realtime.frames import CODECS
from local.realtime.listener import Listener
from local.realtime.messages import Refusal
from local.realtime.rest import answer_refusal, send_batch, send_event
from local.realtime.services import Services
from local.realtime.socket import Socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from local.realtime.settings import Settings

DEFAULT_VERSION = "1.0.0"


def create_app(settings: Settings) -> Starlette:
    """Make the server; its listener starts and ends with the app's lifespan."""
    app = Starlette(
        routes=[
            WebSocketRoute("/realtime/v1/websocket", open_socket),
            Route("/realtime/v1/health", health, methods=["GET"]),
            Route("/realtime/v1/api/broadcast", send_batch, methods=["POST"]),
            Route("/realtime/v1/api/broadcast/{names:path}", send_event, methods=["POST"]),
        ],
        exception_handlers={
            TokenError: answer_refusal,
            Refusal: answer_refusal,
            DatabaseDownError: answer_refusal,
        },
        lifespan=_lifespan,
    )
    app.state.services = Services.build(settings)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    listening = asyncio.create_task(Listener(app.state.services).run())
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
    query = websocket.query_params
    version = query.get("vsn", DEFAULT_VERSION)
    if version not in CODECS:
        await _refuse(websocket, 400, "vsn must be one of " + ", ".join(CODECS))
        return
    try:
        identity = services.tokens.identify(_api_key(websocket))
    except TokenError as exc:
        await _refuse(websocket, 401, str(exc))
        return
    await websocket.accept()
    await Socket(websocket, services, codec=CODECS[version], identity=identity).run()


def _api_key(websocket: WebSocket) -> str:
    headers = websocket.headers
    query_key = websocket.query_params.get("apikey")
    return query_key or headers.get("x-api-key") or headers.get("apikey") or ""


async def _refuse(websocket: WebSocket, status: int, text: str) -> None:
    await websocket.send_denial_response(JSONResponse({"error": text}, status_code=status))
