"""Broadcasts over HTTP: a batch of messages, or one event whose body is the payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response

from local.realtime.authorization import BROADCAST
from local.realtime.errors import TokenError
from local.realtime.hub import Broadcast
from local.realtime.jsontext import JsonError, load_json, size_of
from local.realtime.limits import BATCH_BYTES, PAYLOAD_BYTES
from local.realtime.messages import Refusal, parse_messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from local.realtime.services import Services
    from local.realtime.tokens import Identity

EVENT_ROOT = "/realtime/v1/api/broadcast/"


async def send_batch(request: Request) -> Response:
    """Send several messages; the private ones that the caller may not send are left out."""
    services: Services = request.app.state.services
    identity = _identify(request, services)
    broadcasts = parse_messages(_parse(await _read(request)))
    denied = await _denied_topics(request, services, identity, broadcasts)
    for broadcast in broadcasts:
        if not broadcast.is_private or broadcast.topic not in denied:
            services.hub.send(broadcast)
    return Response(status_code=202)


async def send_event(request: Request) -> Response:
    """Send one event; unlike in a batch, a caller that may not is told so."""
    services: Services = request.app.state.services
    identity = _identify(request, services)
    topic, event = _path_names(request)
    payload = await _read_payload(request)
    if size_of(payload) > PAYLOAD_BYTES:
        raise Refusal(422, {"error": f"Payload is larger than {PAYLOAD_BYTES} bytes"})
    is_private = request.query_params.get("private", "").lower() == "true"
    broadcast = Broadcast(topic, event, payload, is_private)
    if await _denied_topics(request, services, identity, [broadcast]):
        raise Refusal(403, {"error": "You do not have permissions to send to this topic"})
    services.hub.send(broadcast)
    return Response(status_code=202)


async def answer_refusal(_request: Request, exc: Exception) -> Response:
    """Answer what a handler refused."""
    if isinstance(exc, TokenError):
        return JSONResponse({"message": "Unauthorized"}, status_code=401)
    if isinstance(exc, Refusal):
        return JSONResponse(exc.body, status_code=exc.status)
    return JSONResponse({"message": "The database can't be asked now"}, status_code=503)


def _identify(request: Request, services: Services) -> Identity:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return services.tokens.identify(token.strip())
    return services.tokens.identify(request.headers.get("apikey", ""))


async def _denied_topics(
    request: Request, services: Services, identity: Identity, broadcasts: Iterable[Broadcast]
) -> set[str]:
    headers = dict(request.headers)
    denied = set()
    for topic in {broadcast.topic for broadcast in broadcasts if broadcast.is_private}:
        if not await services.authorizer.may_send(identity, topic, BROADCAST, headers=headers):
            denied.add(topic)
    return denied


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BATCH_BYTES:
            raise Refusal(413, {"error": f"The body is larger than {BATCH_BYTES} bytes"})
    return bytes(body)


async def _read_payload(request: Request) -> Any:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/octet-stream":
        return await _read(request)
    if content_type == "application/json":
        return _parse(await _read(request))
    raise Refusal(415, {"error": "Send application/json or application/octet-stream"})


def _parse(body: bytes) -> Any:
    try:
        return load_json(body)
    except JsonError as exc:
        raise Refusal(422, {"errors": {"body": ["is not JSON"]}}) from exc


def _path_names(request: Request) -> tuple[str, str]:
    """Split the path before decoding it: a name may hold an encoded slash."""
    raw_path = request.scope.get("raw_path") or request.url.path.encode()
    parts = raw_path.decode("ascii", errors="replace").removeprefix(EVENT_ROOT).split("/")
    if len(parts) != 3 or parts[1] != "events" or not parts[0] or not parts[2]:
        raise Refusal(404, {"error": "Not found"})
    return unquote(parts[0]), unquote(parts[2])
