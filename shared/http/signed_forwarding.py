"""Lets only requests in that came through the project's functions, where a secret is shared.

A hosted project's functions are thin forwarders (supabase/functions) to this service, which has a
public address of its own. Each forwarder signs what it sends. The body is not signed: it streams
through both, and a signature over it would have to come before its first byte. What decides who
may do what is the caller's token, and that is signed with the rest.
"""

from __future__ import annotations

import hmac
import re
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from ..errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import SecretStr
    from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

SIGNATURE = "x-forward-signature"
FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
WINDOW_SECONDS = 60
SIGNED_HEADERS = ("authorization", "apikey")
HEALTH = ("GET", b"/health")  # without a query: open to whoever watches the process itself


class ForwardedOnly:
    """Refuses what no forwarder signed within the last minute; without a secret, lets all in."""

    def __init__(
        self, app: ASGIApp, *, prefix: str, secrets: Callable[[], Sequence[SecretStr]]
    ) -> None:
        self._app = app
        self._prefix = prefix.encode()
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a signed request on; answer any other before anything of it is read."""
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        error = ForbiddenError("Call the project's functions: this address is only for them.")
        await JSONResponse(error.body(), error.status)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        target = _target(scope, self._prefix)
        secrets = self._secrets()
        if not secrets or (scope["method"], target) == HEALTH:
            return True
        refusal = _refusal(scope["method"], target, Headers(scope=scope), secrets)
        if refusal:
            log.info("not_forwarded", reason=refusal)
        return refusal is None


def _refusal(
    method: str, target: bytes, headers: Headers, secrets: Sequence[SecretStr]
) -> str | None:
    """Return what is wrong with a request's signature, if anything is."""
    found = FORM.fullmatch(",".join(headers.getlist(SIGNATURE)))
    if found is None:
        return "no signature"
    timestamp, sent = found.groups()
    credentials = [headers.get(name, "") for name in SIGNED_HEADERS]
    message = message_to_sign(timestamp, method, target, credentials)
    matches = [hmac.compare_digest(sent, signature(secret, message)) for secret in secrets]
    if not any(matches):
        return "wrong signature"
    return None if abs(time.time() - int(timestamp)) <= WINDOW_SECONDS else "stale signature"


def message_to_sign(
    timestamp: str, method: str, target: bytes, credentials: Sequence[str]
) -> bytes:
    """Return what a forwarder signs: when, what is asked for, and with whose credentials.

    `target` is the path behind the functions' prefix, which gateways strip differently, with its
    query. Credentials are hashed, so that they need not be kept apart from what surrounds them.
    """
    hashes = [sha256(value.encode("latin-1")).hexdigest() for value in credentials]
    return b"\n".join([timestamp.encode(), method.encode(), target, "\n".join(hashes).encode()])


def signature(secret: SecretStr, message: bytes) -> str:
    """Return the HMAC-SHA256 of a message in hexadecimal digits."""
    return hmac.new(secret.get_secret_value().encode(), message, sha256).hexdigest()


def _target(scope: Scope, prefix: bytes) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path.removeprefix(prefix) + (b"?" + query if query else b"")
