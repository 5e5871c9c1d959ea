"""Around every request: an id, one log line, and an answer even if a handler broke."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from ..errors import InternalError, UnavailableError
from ..observability import telemetry

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..errors import AppError

log = structlog.get_logger(__name__)

REQUEST_ID = "x-request-id"
SENSIBLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# What every response says unless it says otherwise: it is private, and of the type that it names.
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class RequestContext:
    """Gives each request its id (the caller's own if it is a sensible one) and a log line.

    Each response gets that id, and the headers that keep it private.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request with its id in every log line and in the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get(REQUEST_ID, "")
        request_id = sent if SENSIBLE_ID.fullmatch(sent) else uuid4().hex
        started = time.monotonic()
        scope.setdefault("state", {})["arrived_at"] = started
        status = 499  # the client went away before there was an answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent_headers = MutableHeaders(scope=message)
                sent_headers[REQUEST_ID] = request_id
                for name, value in PRIVATE.items():
                    sent_headers.setdefault(name, value)
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            telemetry.span("request", headers=headers) as attributes,
        ):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                attributes |= _span_attributes(scope, status)
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    duration_ms=round((time.monotonic() - started) * 1000, 1),
                )


def _span_attributes(scope: Scope, status: int) -> dict[str, str | int]:
    """Return the attributes of a request's span: no word of its address is the caller's."""
    route = getattr(scope.get("route"), "path", "none")
    method = scope["method"] if route != "none" else "any"
    failed = {"error": str(status)} if status >= 500 else {}
    return {"method": method, "route": route, "status": status, **failed}


class TurnsBeforeEnd:
    """Ends a response only when the turns that its request began have ended.

    For a host that freezes the process between requests: there, nothing works on a turn any more
    once the last byte is sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request; hold its last piece back for as long as its turns run."""
        container = scope["app"].state.container if scope["type"] == "http" else None
        if container is None or not container.settings.is_frozen_between_requests:
            await self._app(scope, receive, send)
            return
        older = container.working  # of requests that were cut off: thawed, not ours to wait for

        async def send_settled(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            while is_last and (turns := container.working - older):
                await asyncio.wait(turns)  # for those that begin; then for what works on them
            await send(message)

        await self._app(scope, receive, send_settled)


class CatchAll:
    """Answers 500 in the usual shape where something broke that nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request; log what broke, without anybody's data, and say that something did."""
        has_started = False

        async def note_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except ClientDisconnect:
            return  # while it was sending its body: nothing broke, and nobody is left to answer
        except asyncio.CancelledError:  # the server stops, and the time for its answers is over
            if scope["type"] == "http" and not has_started:
                await _answer(UnavailableError(), scope, receive, send)
            raise
        except Exception:
            if scope["type"] != "http":
                raise
            log.exception("request_broke")
            if has_started:
                raise
            await _answer(InternalError(), scope, receive, send)


async def _answer(error: AppError, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(error.body(), error.status, headers=error.headers())(scope, receive, send)
