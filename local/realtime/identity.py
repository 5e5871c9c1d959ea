"""Who is asking: turns an opaque key or an HS256 token into a role and its claims."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from local.realtime.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.realtime.settings import Settings

OPAQUE_PREFIX = "sb_"


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller; `expires_at` is in Unix seconds, None for an opaque key."""

    role: str
    claims: Mapping[str, Any]
    expires_at: float | None = None

    def check_fresh(self) -> None:
        """Raise TokenError once the token has expired."""
        if self.expires_at is not None and self.expires_at <= time.time():
            raise _expired(self.expires_at)


class Tokens:
    """Verifies tokens against the stack's keys."""

    def __init__(self, settings: Settings) -> None:
        self._jwt_secret = settings.jwt_secret
        self._roles = {settings.publishable_key: "anon", settings.secret_key: "service_role"}

    def identify(self, token: str) -> Identity:
        """Return the token's verified identity, or raise TokenError."""
        if token.startswith(OPAQUE_PREFIX):
            return self._identify_key(token)
        claims = self._verified_claims(token)
        role = claims.get("role")
        if not isinstance(role, str) or role in {"", "none"}:
            raise _missing_claims()
        return Identity(role, claims, expires_at=float(claims["exp"]))

    def _identify_key(self, key: str) -> Identity:
        for known, role in self._roles.items():
            if hmac.compare_digest(known.encode(), key.encode(errors="replace")):
                return Identity(role, {"role": role})
        raise TokenError("InvalidJWTToken", "The API key is not one of this project")

    def _verified_claims(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                self._jwt_secret,
                algorithms=["HS256"],
                options={"require": ["exp"], "verify_aud": False, "verify_iat": False},
            )
        except jwt.ExpiredSignatureError as exc:
            raise _expired(_unverified_expiry(token)) from exc
        except jwt.MissingRequiredClaimError as exc:
            raise _missing_claims() from exc
        except jwt.InvalidSignatureError as exc:
            raise TokenError("JwtSignatureError", "Failed to validate JWT signature") from exc
        except jwt.InvalidAlgorithmError as exc:
            raise TokenError("JwtSignerError", "The token is not signed with HS256") from exc
        except (jwt.DecodeError, UnicodeError) as exc:
            raise TokenError("MalformedJWT", "The token provided is not a valid JWT") from exc
        except jwt.InvalidTokenError as exc:
            raise TokenError("InvalidJWTToken", str(exc)) from exc


def _unverified_expiry(token: str) -> float:
    claims = jwt.decode(token, options={"verify_signature": False})
    return float(claims["exp"])


def _missing_claims() -> TokenError:
    return TokenError("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")


def _expired(expires_at: float) -> TokenError:
    seconds = max(0, int(time.time() - expires_at))
    return TokenError("InvalidJWTToken", f"Token has expired {seconds} seconds ago")
