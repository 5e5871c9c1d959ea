"""Tokens and signing keys, good and bad, made as a project's Auth would make them."""

import base64
import json
import time
import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.datastructures import Headers


def claims_for(user_id: str, **changes: Any) -> dict[str, Any]:
    """Return what a good token says, with these claims changed; None leaves one out."""
    now = int(time.time())
    claims = {
        "aud": "authenticated",
        "role": "authenticated",
        "sub": user_id,
        "session_id": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], secret: str, **header: Any) -> str:
    """Sign claims with a shared secret."""
    return jwt.encode(claims, secret, algorithm="HS256", headers=header)


def encoded(value: Any) -> str:
    """Return one segment of a token; bytes go in as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(header: Any, claims: Any, signature: bytes = b"") -> str:
    """Put a token together that no library would make."""
    return ".".join([encoded(header), encoded(claims), encoded(signature)])


@dataclass(frozen=True)
class SigningKey:
    """A project's asymmetric key pair."""

    kid: str
    algorithm: Literal["RS256", "ES256"]
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @property
    def public_pem(self) -> bytes:
        """The public half, as anyone may have it."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public half as an entry of a JWKS, with these members changed."""
        maker = jwt.get_algorithm_by_name(self.algorithm)
        entry = json.loads(maker.to_jwk(self.private.public_key()))
        ours = {"kid": self.kid, "alg": self.algorithm, "use": "sig", "key_ops": ["verify"]}
        merged = {**entry, **ours, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign claims as the project's Auth does."""
        return jwt.encode(
            claims, self.private, algorithm=self.algorithm, headers={"kid": self.kid, **header}
        )


@cache
def rsa_key(kid: str) -> SigningKey:
    """Return an RS256 key of this id."""
    return SigningKey(kid, "RS256", rsa.generate_private_key(65537, 2048))


@cache
def ec_key(kid: str) -> SigningKey:
    """Return an ES256 key of this id."""
    return SigningKey(kid, "ES256", ec.generate_private_key(ec.SECP256R1()))


def jwks(*entries: SigningKey | dict[str, Any]) -> dict[str, Any]:
    """Return the document that lists these keys."""
    return {"keys": [e.jwk() if isinstance(e, SigningKey) else e for e in entries]}


def headers_of(*pairs: tuple[str, str]) -> Headers:
    """Return request headers, in order and with repetitions."""
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in pairs])


def bearer(token: str) -> Headers:
    """Return the headers of a request with this token."""
    return headers_of(("authorization", f"Bearer {token}"))
