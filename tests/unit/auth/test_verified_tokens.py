"""A token that was verified before: what of it is still asked, and how much is remembered."""

import time
import uuid
from typing import Any

import jwt
import pytest

from shared.auth import authenticator as module
from shared.auth.authenticator import LEEWAY_SECONDS, Authenticator, Verified, VerifiedTokens
from shared.errors import UnauthorizedError
from tests.support.tokens import bearer, claims_for, ec_key
from tests.support.unit_settings import URL, unit_settings

ME = uuid.UUID("6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11")


class Keys:
    """The project's keys as they are now."""

    def __init__(self) -> None:
        self.now: dict[str, jwt.PyJWK] = {}

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Return the key of an id."""
        return self.now.get(kid)


@pytest.mark.promise("key rotation", red="a verified token's key is not asked for again")
async def test_a_key_that_is_no_longer_the_projects_ends_its_tokens() -> None:
    """Verified before or not; the same key under another object is verified with again."""
    keys: Any = Keys()
    pair, other = ec_key("one"), ec_key("two")
    caller = Authenticator(unit_settings(), keys).caller
    mine = bearer(pair.sign(claims_for(str(ME), iss=f"{URL}/auth/v1")))
    for _ in range(2):
        keys.now = {"one": jwt.PyJWK.from_dict(pair.jwk())}
        for _ in range(2):
            assert (await caller(mine)).user_id == ME
    for served in ({}, {"one": jwt.PyJWK.from_dict(other.jwk(kid="one"))}):
        keys.now = served
        with pytest.raises(UnauthorizedError):
            await caller(mine)


@pytest.mark.promise("bad tokens", red="a verified token is taken whenever it comes")
async def test_a_token_expires_that_was_verified_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same moment as one that is new here."""
    keys: Any = Keys()
    caller = Authenticator(unit_settings(), keys).caller
    pair = ec_key("one")
    keys.now = {"one": jwt.PyJWK.from_dict(pair.jwk())}
    exp = int(time.time()) + 2 - LEEWAY_SECONDS
    mine = bearer(pair.sign(claims_for(str(ME), iss=f"{URL}/auth/v1", exp=exp)))
    assert (await caller(mine)).user_id == ME
    monkeypatch.setattr(module, "_now", lambda: exp + LEEWAY_SECONDS - 0.1)
    assert (await caller(mine)).user_id == ME
    monkeypatch.setattr(module, "_now", lambda: exp + LEEWAY_SECONDS)
    monkeypatch.setattr(jwt, "decode", _expired)
    with pytest.raises(UnauthorizedError):
        await caller(mine)


def _expired(*_: Any, **__: Any) -> None:
    raise jwt.ExpiredSignatureError


def test_the_oldest_are_forgotten() -> None:
    """However many tokens come."""
    known = VerifiedTokens()
    for number in range(module.MOST_KNOWN + 1):
        known.keep(str(number), Verified(ME, time.time() + 60, None, None))
    assert known.get("0") is None
    assert known.get("1") is not None
