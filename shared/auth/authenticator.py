"""Who is calling: verifies the access token, and trusts nothing else that a request says."""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt
import structlog

from ..errors import UnauthorizedError
from .caller import SERVICE, Caller

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from ..config import Settings
    from .jwks import JwksCache

log = structlog.get_logger(__name__)

MAX_TOKEN_BYTES = 8192
LEEWAY_SECONDS = 10
LOG_SECONDS = 60


class Refusals:
    """Warns once a minute that tokens are refused: why, how many, and what is expected of one.

    A wrong setting refuses everybody, and is seen here where a single refusal is not.
    """

    def __init__(self, settings: Settings) -> None:
        self._expected = {"issuer": settings.expected_issuer, "audience": settings.jwt_audience}
        self._counts: Counter[str] = Counter()
        self._logged_at = -math.inf

    def count(self, reason: str) -> None:
        """Count one; no word of the token itself is kept."""
        self._counts[reason] += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            log.warning("tokens_refused", reasons=dict(self._counts), **self._expected)
            self._counts.clear()
            self._logged_at = now


class Authenticator:
    """Turns a request's headers into a Caller, or raises UnauthorizedError."""

    def __init__(self, settings: Settings, jwks: JwksCache) -> None:
        self._settings = settings
        self._jwks = jwks
        self._refusals = Refusals(settings)

    async def caller(self, headers: Headers) -> Caller:
        """Return who is calling.

        The service shows its key in `apikey`, alone or repeated as the bearer token, which is how
        Supabase clients send it. Anything else in `Authorization` must be a user's token.
        """
        bearer = _bearer(headers)
        if self._is_secret_key(headers.get("apikey")) and bearer in {None, headers["apikey"]}:
            return SERVICE
        if bearer is None:
            raise UnauthorizedError
        return Caller(user_id=await self._subject(bearer), token=bearer)

    def _is_secret_key(self, apikey: str | None) -> bool:
        if apikey is None:
            return False
        sent = apikey.encode()
        known = [key.get_secret_value().encode() for key in self._settings.supabase_secret_keys]
        return any([secrets.compare_digest(sent, key) for key in known])  # noqa: C419 - constant time

    async def _subject(self, token: str) -> UUID:
        if len(token) > MAX_TOKEN_BYTES:
            raise UnauthorizedError
        try:
            key, algorithm = await self._verification_key(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                leeway=LEEWAY_SECONDS,
                # When it was signed gives a token no power, and is judged by another's clock: were
                # it checked, a clock that is slow here would lock out whoever has just signed in.
                options={"require": ["exp", "sub", "aud"], "verify_iat": False},
            )
            return self._user_id(claims)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
            log.info("token_refused", reason=type(exc).__name__)
            self._refusals.count(type(exc).__name__)
            raise UnauthorizedError from exc

    async def _verification_key(self, header: dict[str, Any]) -> tuple[Any, str]:
        """Return the key and the one algorithm that goes with it; the header only selects."""
        secret = self._settings.supabase_jwt_secret
        if header.get("alg") == "HS256" and secret is not None:
            return secret.get_secret_value(), "HS256"
        kid = header.get("kid")
        key = await self._jwks.key(kid) if isinstance(kid, str) else None
        if key is None:
            raise jwt.InvalidKeyError("no key of the project's")
        return key, str(key.algorithm_name)

    def _user_id(self, claims: dict[str, Any]) -> UUID:
        self._require_issuer(claims)
        if claims.get("role") != "authenticated":
            raise jwt.InvalidTokenError("not a user's token")
        user_id = UUID(claims["sub"])
        if str(user_id) != claims["sub"].lower():
            raise jwt.InvalidTokenError("not a plain uuid")
        return user_id

    def _require_issuer(self, claims: dict[str, Any]) -> None:
        expected = self._settings.expected_issuer
        if expected is None or ("iss" not in claims and not self._settings.requires_issuer):
            return
        if claims.get("iss") != expected:
            raise jwt.InvalidIssuerError("another issuer")


def _bearer(headers: Headers) -> str | None:
    values = headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError
    return token.strip()
