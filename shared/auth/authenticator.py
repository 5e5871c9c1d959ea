"""Who is calling: verifies the access token, and trusts nothing else that a request says."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
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
MOST_KNOWN: Final = 10_000


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


class Verified(NamedTuple):
    """Whose token it is, as long as the key that it was verified with is the project's."""

    user_id: UUID
    expires_at: float
    kid: str | None
    key: Any


class VerifiedTokens:
    """Tokens that were verified lately, by their hashes: the oldest are forgotten.

    A signature that was good stays so. What may change is asked each time: whether the token has
    expired, and whether its key is still served.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Verified] = {}

    def get(self, token: str) -> Verified | None:
        """Return what is known of a token that hasn't expired."""
        known = self._known.get(_digest(token))
        is_good = known and _now() < known.expires_at + LEEWAY_SECONDS
        return known if is_good else None

    def keep(self, token: str, verified: Verified) -> None:
        """Remember a token."""
        self._known[_digest(token)] = verified
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _now() -> float:
    return datetime.now(UTC).timestamp()


class Authenticator:
    """Turns a request's headers into a Caller, or raises UnauthorizedError."""

    def __init__(self, settings: Settings, jwks: JwksCache) -> None:
        self._settings = settings
        secret = settings.supabase_jwt_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._jwks = jwks
        self._verified = VerifiedTokens()
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
        known = self._verified.get(token)
        if known is not None and await self._key(known.kid) is known.key:
            return known.user_id
        try:
            kid, key, algorithm = await self._verification_key(jwt.get_unverified_header(token))
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
            user_id = self._user_id(claims)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
            log.info("token_refused", reason=type(exc).__name__)
            self._refusals.count(type(exc).__name__)
            raise UnauthorizedError from exc
        self._verified.keep(token, Verified(user_id, int(claims["exp"]), kid, key))
        return user_id

    async def _verification_key(self, header: dict[str, Any]) -> tuple[str | None, Any, str]:
        """Return a key's id, the key, and the one algorithm that goes with it.

        The header only selects; the project's secret has no id.
        """
        if header.get("alg") == "HS256" and self._secret is not None:
            return None, self._secret, "HS256"
        kid = header.get("kid")
        key = await self._key(kid) if isinstance(kid, str) else None
        if key is None:
            raise jwt.InvalidKeyError("no key of the project's")
        return kid, key, str(key.algorithm_name)

    async def _key(self, kid: str | None) -> Any:
        return self._secret if kid is None else await self._jwks.key(kid)

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
