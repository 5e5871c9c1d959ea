"""The project's signing keys, from a real server: cached, rotated, never asked for in a rush."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.auth.jwks import COOLDOWN_SECONDS, FETCH_SECONDS, LIFETIME_SECONDS, JwksCache
from shared.errors import UnavailableError
from tests.support.proxy import Behaviour, Proxy, hangs, proxy_to, refuses, replies
from tests.support.tokens import SigningKey, ec_key, jwks, rsa_key
from tests.support.waiting import until

OLD, NEW = rsa_key("old"), ec_key("new")


class Clock:
    """A clock that moves when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[Proxy]:
    """A server that lists the old key."""
    async with proxy_to("http://127.0.0.1:9") as running:
        running.on("jwks.json", replies(200, jwks(OLD)))
        yield running


@pytest.fixture
def clock() -> Clock:
    """The cache's clock."""
    return Clock()


@pytest.fixture
async def cache(server: Proxy, clock: Clock) -> AsyncIterator[JwksCache]:
    """A cache of that server's keys."""
    async with httpx.AsyncClient() as http:
        yield JwksCache(http, f"{server.url}/jwks.json", clock=clock)


def list_keys(server: Proxy, *entries: SigningKey | dict[str, Any]) -> None:
    """Let the server list these keys from now on."""
    server.on("jwks.json", replies(200, jwks(*entries)))


async def test_keys_are_fetched_once_in_their_lifetime(
    cache: JwksCache, server: Proxy, clock: Clock
) -> None:
    """However often they are asked for, at once or later."""
    assert all(await asyncio.gather(*(cache.key("old") for _ in range(50))))
    clock.now += LIFETIME_SECONDS - 1
    assert await cache.key("old")
    assert server.calls == ["jwks.json"]
    clock.now += 1
    assert await cache.key("old")
    assert server.calls == ["jwks.json"] * 2


@pytest.mark.promise("key rotation", red="everyone waits for the fetch")
async def test_while_keys_are_fetched_again_those_that_are_known_hold_nobody_up(
    cache: JwksCache, server: Proxy, clock: Clock
) -> None:
    """A server that hangs delays the one request that asked it, not all that come meanwhile."""
    assert await cache.key("old")
    server.on("jwks.json", hangs)
    clock.now += LIFETIME_SECONDS
    first = asyncio.create_task(cache.key("old"))
    async with asyncio.timeout(FETCH_SECONDS / 2):
        await until(lambda: len(server.calls) == 2)
        assert await cache.key("old")
    assert not first.done()
    first.cancel()


@pytest.mark.promise("bad tokens", red="`COOLDOWN_SECONDS = 0`")
async def test_a_thousand_random_kids_cost_one_fetch_in_a_cooldown(
    cache: JwksCache, server: Proxy, clock: Clock
) -> None:
    """One by one and all at once; known keys are served meanwhile."""
    assert await cache.key("old")
    clock.now += COOLDOWN_SECONDS
    for _ in range(500):
        assert await cache.key(uuid.uuid4().hex) is None
    found = await asyncio.gather(*(cache.key(uuid.uuid4().hex) for _ in range(500)))
    assert set(found) == {None}
    assert await cache.key("old")
    assert server.calls == ["jwks.json"] * 2


async def test_a_new_key_is_found_after_the_cooldown(
    cache: JwksCache, server: Proxy, clock: Clock
) -> None:
    """Rotation: both while both are listed, and the old one no longer once it isn't."""
    assert await cache.key("old")
    list_keys(server, OLD, NEW)
    clock.now += COOLDOWN_SECONDS - 1
    assert await cache.key("new") is None
    clock.now += 1
    assert await cache.key("new")
    assert await cache.key("old")
    list_keys(server, NEW)
    clock.now += LIFETIME_SECONDS
    assert await cache.key("new")
    assert await cache.key("old") is None


OUTAGES: dict[str, Behaviour] = {
    "reset": refuses,
    "500": replies(500, b""),
    "404 with JSON": replies(404, {"keys": []}),
    "302": replies(302, b"", location="http://127.0.0.1:9/"),
    "200 with HTML": replies(200, b"<html>"),
    "200 with no keys in it": replies(200, {"hello": "world"}),
    "200 with null": replies(200, None),
    "200 with a list": replies(200, []),
    "200 with odd entries": replies(200, {"keys": ["x", None]}),
}


@pytest.mark.promise("key rotation", red="keys forgotten when a fetch fails")
@pytest.mark.parametrize("outage", OUTAGES)
async def test_in_an_outage_the_old_keys_go_on_serving(
    cache: JwksCache, server: Proxy, clock: Clock, outage: str
) -> None:
    """Past their lifetime, asking once in a cooldown; then the new ones are found."""
    assert await cache.key("old")
    server.on("jwks.json", OUTAGES[outage])
    clock.now += LIFETIME_SECONDS * 10
    for _ in range(10):
        assert await cache.key("old")
        assert await cache.key("new") is None
    assert server.calls == ["jwks.json"] * 2
    list_keys(server, NEW)
    clock.now += COOLDOWN_SECONDS
    assert await cache.key("new")


@pytest.mark.parametrize("outage", OUTAGES)
async def test_where_no_key_was_ever_fetched_it_is_an_outage_not_a_bad_token(
    cache: JwksCache, server: Proxy, clock: Clock, outage: str
) -> None:
    """503, asking once in a cooldown, until there is an answer."""
    server.on("jwks.json", OUTAGES[outage])
    for _ in range(10):
        with pytest.raises(UnavailableError):
            await cache.key("old")
    assert server.calls == ["jwks.json"]
    list_keys(server, OLD)
    clock.now += COOLDOWN_SECONDS
    assert await cache.key("old")


async def test_a_project_without_keys_knows_no_kid(cache: JwksCache, server: Proxy) -> None:
    """An empty list is an answer: the token is bad, the service is well."""
    list_keys(server)
    assert await cache.key("old") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"kid": None},
        {"kid": ""},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"alg": "none"},
        {"kty": "OKP"},
        {"kty": "nonsense", "alg": None},
        {"n": "!!!"},
        {"n": None},
        {"e": 5},
    ],
    ids=str,
)
async def test_a_key_of_another_kind_is_ignored_and_the_rest_is_used(
    cache: JwksCache, server: Proxy, changes: dict[str, Any]
) -> None:
    """For encryption, symmetric, another algorithm, or broken: no reason to know none at all."""
    list_keys(server, rsa_key("odd").jwk(**changes), OLD)
    assert await cache.key("odd") is None
    assert await cache.key("old")


async def test_a_key_without_a_declared_use_or_algorithm_is_taken_by_its_type(
    cache: JwksCache, server: Proxy
) -> None:
    """As some servers list them."""
    list_keys(server, OLD.jwk(use=None, alg=None), NEW.jwk(use=None, alg=None))
    found = [await cache.key(kid) for kid in ("old", "new")]
    assert [key.algorithm_name for key in found if key] == ["RS256", "ES256"]
