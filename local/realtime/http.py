"""Broadcasts over HTTP: a batch of messages, or one event whose body is the payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response

from local.realtime.errors import DatabaseDownError, FrameError, HttpError, TokenError
from local.realtime.frames import load_json, size_of
from local.realtime.hub import PAYLOAD_BYTES, Broadcast

if TYPE_CHECKING:
    from starlette.requests import Request

    from local.realtime.identity import Identity
    from local.realtime.services import Services

BATCH_PATH = "/realtime/v1/api/broadcast"


async def send_batch(request: Request) -> Response:
    """Send several messages; the private ones that the caller may not send are left out."""
    services, identity = _services(request), _identify(request)
    broadcasts = _parse_batch(await _read_json(request))
    _require_room(services, len(broadcasts))
    for broadcast in broadcasts:
        if await _may_send(services, identity, broadcast):
            services.hub.send(broadcast)
    return Response(status_code=202)


async def send_event(request: Request) -> Response:
    """Send one event; unlike with a batch, a caller that may not gets an error."""
    services, identity = _services(request), _identify(request)
    topic, event = _names_in_path(request)
    is_private = request.query_params.get("private") == "true"
    broadcast = Broadcast(topic, event, await _read_json(request), is_private)
    if size_of(broadcast.payload) > PAYLOAD_BYTES:
        raise HttpError(422, {"error": f"Payload is larger than {PAYLOAD_BYTES} bytes"})
    _require_room(services, 1)
    if not await _may_send(services, identity, broadcast):
        raise HttpError(403, {"error": "You do not have permissions to send to this topic"})
    services.hub.send(broadcast)
    return Response(status_code=202)


async def respond_to_error(_request: Request, exc: Exception) -> Response:
    """Turn an error into the response that the hosted server gives."""
    if isinstance(exc, TokenError):
        return JSONResponse({"message": "Unauthorized"}, status_code=401)
    if isinstance(exc, DatabaseDownError):
        return JSONResponse({"message": exc.text}, status_code=503)
    assert isinstance(exc, HttpError)  # noqa: S101 - the last of those that come here
    return JSONResponse(exc.body, status_code=exc.status)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _identify(request: Request) -> Identity:
    tokens = _services(request).tokens
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return tokens.identify(token.strip())
    return tokens.identify(request.headers.get("apikey", ""))


def _require_room(services: Services, messages: int) -> None:
    if not services.hub.rate.has_room_for(messages):
        raise HttpError(429, {"message": "You have exceeded your rate limit"})


async def _may_send(services: Services, identity: Identity, broadcast: Broadcast) -> bool:
    if not broadcast.is_private:
        return True
    return await services.policies.may_send(identity, broadcast.topic)


async def _read_json(request: Request) -> Any:
    try:
        return load_json(await request.body())
    except FrameError as exc:
        raise HttpError(422, {"errors": {"body": ["is not JSON"]}}) from exc


def _parse_batch(body: Any) -> list[Broadcast]:
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise HttpError(422, {"errors": {"messages": ["is invalid"]}})
    return [
        Broadcast(item["topic"], item["event"], item["payload"], item.get("private") is True)
        for item in messages
    ]


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and all(isinstance(item.get(name), str) and item[name] for name in ("topic", "event"))
        and isinstance(item.get("payload"), dict)
        and isinstance(item.get("private"), bool | None)
        and size_of(item["payload"]) <= PAYLOAD_BYTES
    )


def _names_in_path(request: Request) -> tuple[str, str]:
    """Split the path before decoding it: a name may hold an encoded slash."""
    path = bytes(request.scope["raw_path"]).decode("ascii", errors="replace")
    match path.removeprefix(f"{BATCH_PATH}/").split("/"):
        case [topic, "events", event] if topic and event:
            return unquote(topic), unquote(event)
    raise HttpError(404, {"error": "Not found"})
