"""Tokens and keys become identities, or errors with a code."""

import time
from typing import Any

import jwt
import pytest

from local.realtime.errors import TokenError
from local.realtime.identity import Identity, Tokens
from local.realtime.settings import Settings, SettingsError

SECRET = "a-secret-of-the-tests-with-32-bytes-or-more"
SETTINGS = Settings("postgresql://", SECRET, "sb_publishable_a", "sb_secret_b")


def _token(secret: str = SECRET, **claims: Any) -> str:
    return jwt.encode({"role": "authenticated", "exp": int(time.time()) + 60, **claims}, secret)


@pytest.mark.parametrize(
    ("key", "role"), [("sb_publishable_a", "anon"), ("sb_secret_b", "service_role")]
)
def test_identify_knows_the_opaque_keys(key: str, role: str) -> None:
    """A key is its role, for ever."""
    assert Tokens(SETTINGS).identify(key) == Identity(role, {"role": role}, None)


def test_identify_returns_the_verified_claims() -> None:
    """The audience does not matter, nor a clock that is ahead."""
    claims: dict[str, Any] = {"sub": "ada", "aud": "authenticated", "iat": int(time.time()) + 30}
    identity = Tokens(SETTINGS).identify(_token(**claims))
    assert (identity.role, identity.claims["sub"]) == ("authenticated", "ada")
    assert identity.expires_at == identity.claims["exp"]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "MalformedJWT"),
        ("a.b.c", "MalformedJWT"),
        ("سلام", "MalformedJWT"),
        ("sb_secret_a", "InvalidJWTToken"),
        (_token("another-secret-of-32-bytes-or-more!"), "JwtSignatureError"),
        (_token(exp=1), "InvalidJWTToken"),
        (_token(role=""), "InvalidJWTToken"),
        (_token(role=["anon"]), "InvalidJWTToken"),
        (_token(role="none"), "InvalidJWTToken"),
        (jwt.encode({"role": "anon", "exp": 2**40}, SECRET * 2, "HS512"), "JwtSignerError"),
        (jwt.encode({"role": "anon"}, SECRET), "InvalidJWTToken"),
    ],
    ids=lambda value: "" if "." in value or len(value) > 40 else value,
)
def test_identify_says_what_is_wrong(token: str, code: str) -> None:
    """Each failure has the hosted server's code."""
    with pytest.raises(TokenError) as error:
        Tokens(SETTINGS).identify(token)
    assert error.value.code == code


def test_check_fresh_fails_once_the_time_is_up() -> None:
    """An identity without an expiry never ages."""
    Identity("anon", {}).check_fresh()
    Identity("anon", {}, expires_at=time.time() + 60).check_fresh()
    with pytest.raises(TokenError, match="expired 5 seconds ago"):
        Identity("anon", {}, expires_at=time.time() - 5.5).check_fresh()


def test_settings_name_what_is_missing_and_hide_what_is_secret() -> None:
    """A start without a key says which; a printed setting shows none."""
    with pytest.raises(SettingsError, match="SUPABASE_JWT_SECRET"):
        Settings.from_environment({"LOCAL_DB_URL": "postgresql://"})
    assert SECRET not in repr(SETTINGS)
    assert "sb_secret_b" not in repr(SETTINGS)
