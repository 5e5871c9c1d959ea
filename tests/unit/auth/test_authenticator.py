"""Who is calling, from headers alone: the service, a user, or nobody."""

import json
import time
import uuid
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
import respx
from structlog.testing import capture_logs

from shared.auth.authenticator import LEEWAY_SECONDS, MAX_TOKEN_BYTES, Authenticator
from shared.auth.caller import Caller
from shared.auth.jwks import JwksCache
from shared.config import Settings
from shared.errors import ForbiddenError, InvalidRequestError, UnauthorizedError
from shared.persistence.http_pool import create_pool
from tests.support.tokens import bearer, claims_for, headers_of, signed
from tests.support.unit_settings import JWT_SECRET, SECRET_KEY, URL, unit_settings

ME = uuid.UUID("6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11")
ISSUER = f"{URL}/auth/v1"


@pytest.fixture
async def pool() -> AsyncIterator[httpx.AsyncClient]:
    """A connection pool on which nothing may go out."""
    async with create_pool(unit_settings()) as http:
        with respx.mock:
            yield http


def authenticator(http: httpx.AsyncClient, settings: Settings | None = None) -> Authenticator:
    """Return what verifies for these settings."""
    chosen = settings or unit_settings()
    return Authenticator(chosen, JwksCache(http, f"{URL}/jwks.json"))


def token(**changes: object) -> str:
    """Return a token of mine with these claims changed."""
    return signed(claims_for(str(ME), **{"iss": ISSUER, **changes}), JWT_SECRET)


@pytest.mark.parametrize(
    "value", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {}  "]
)
async def test_a_users_token_is_a_caller_with_that_token(
    pool: httpx.AsyncClient, value: str
) -> None:
    """The scheme's case and blanks around don't count."""
    mine = token()
    caller = await authenticator(pool).caller(headers_of(("authorization", value.format(mine))))
    assert caller == Caller(user_id=ME, token=mine)
    assert caller.is_service is False


@pytest.mark.promise("key rotation", red="only the first of the secret keys is known")
@pytest.mark.parametrize("repeats", [False, True])
async def test_a_secret_key_is_the_service(pool: httpx.AsyncClient, repeats: bool) -> None:
    """Alone or repeated as the bearer; either of two keys while one replaces the other."""
    settings = unit_settings(SUPABASE_SECRET_KEY='{"new": "sb_secret_2", "old": "sb_secret_1"}')
    for key in ("sb_secret_1", "sb_secret_2"):
        pairs = [("apikey", key)]
        pairs += [("authorization", f"Bearer {key}")] if repeats else []
        caller = await authenticator(pool, settings).caller(headers_of(*pairs))
        assert caller == Caller(user_id=None, token=None)
        assert caller.is_service is True


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer  \t ")],
        [("authorization", f"Bearer {SECRET_KEY}")],
        [("apikey", "")],
        [("apikey", SECRET_KEY[:-1])],
        [("apikey", f"{SECRET_KEY} ")],
        [("apikey", "sch\u00fcssel")],
        [("apikey", SECRET_KEY), ("authorization", "Bearer sb_secret_other")],
        [("apikey", SECRET_KEY), ("authorization", f"Basic {SECRET_KEY}")],
        [("apikey", SECRET_KEY), ("authorization", "")],
        [("apikey", "sb_publishable_unit"), ("authorization", f"Bearer {SECRET_KEY}")],
        [("authorization", "Bearer \u00e9.\u00e9.\u00e9")],
    ],
    ids=str,
)
async def test_anything_else_is_nobody(
    pool: httpx.AsyncClient, pairs: list[tuple[str, str]]
) -> None:
    """Also beside a good key: what is shown has to be good."""
    with pytest.raises(UnauthorizedError):
        await authenticator(pool).caller(headers_of(*pairs))


@pytest.mark.promise("bad tokens")
async def test_a_second_authorization_header_is_refused(pool: httpx.AsyncClient) -> None:
    """Even the same one twice."""
    one = ("authorization", f"Bearer {token()}")
    with pytest.raises(UnauthorizedError):
        await authenticator(pool).caller(headers_of(one, one))


async def test_a_good_token_beside_a_secret_key_is_the_user(pool: httpx.AsyncClient) -> None:
    """The less mighty of the two, and never a mixture."""
    mine = token()
    pairs = headers_of(("apikey", SECRET_KEY), ("authorization", f"Bearer {mine}"))
    assert await authenticator(pool).caller(pairs) == Caller(user_id=ME, token=mine)


@pytest.mark.promise("wrong clock", red="`iat` is checked")
async def test_clocks_may_differ_by_the_leeway_and_no_more(pool: httpx.AsyncClient) -> None:
    """For the end and the beginning; the moment of signing may be any."""
    now = int(time.time())
    within, beyond = LEEWAY_SECONDS // 2, LEEWAY_SECONDS + 30
    auth = authenticator(pool)
    good = [{"exp": now - within}, {"nbf": now + within}, {"iat": now + beyond}]
    for claims in good:
        assert (await auth.caller(bearer(token(**claims)))).user_id == ME
    for claims in [{"exp": now - beyond}, {"nbf": now + beyond}]:
        with pytest.raises(UnauthorizedError):
            await auth.caller(bearer(token(**claims)))


async def test_a_token_is_taken_up_to_eight_kilobytes(pool: httpx.AsyncClient) -> None:
    """Longer ones are refused before anything is decoded."""
    base = len(token(padding=""))
    fits = token(padding="x" * ((MAX_TOKEN_BYTES - base) * 3 // 4 - 4))
    assert MAX_TOKEN_BYTES - 16 < len(fits) <= MAX_TOKEN_BYTES
    assert (await authenticator(pool).caller(bearer(fits))).user_id == ME
    with pytest.raises(UnauthorizedError):
        await authenticator(pool).caller(bearer(token(padding="x" * MAX_TOKEN_BYTES)))


@pytest.mark.parametrize("iss", [None, "", "https://elsewhere.example", f"{ISSUER}/", [ISSUER], 5])
async def test_a_project_that_is_not_local_requires_its_issuer(
    pool: httpx.AsyncClient, iss: object
) -> None:
    """Exactly, and not merely none."""
    claims = {**claims_for(str(ME)), **({} if iss is None else {"iss": iss})}
    forged = jwt_of(claims)
    with pytest.raises(UnauthorizedError):
        await authenticator(pool).caller(bearer(forged))


@pytest.mark.parametrize("claims", [{}, {"iss": "https://outside.example/auth/v1"}], ids=str)
async def test_a_self_hosted_stacks_token_may_name_any_issuer_or_none(
    pool: httpx.AsyncClient, claims: dict[str, object]
) -> None:
    """Its Auth names its address outside, or none before May 2026; the signature is checked."""
    settings = unit_settings(supabase_url="http://api-gw:8000", jwt_issuer=None)
    mine = jwt_of({**claims_for(str(ME)), **claims})
    assert (await authenticator(pool, settings).caller(bearer(mine))).user_id == ME
    with pytest.raises(UnauthorizedError):
        await authenticator(pool, settings).caller(bearer(mine[:-2]))


async def test_why_tokens_are_refused_is_logged_once_a_minute(pool: httpx.AsyncClient) -> None:
    """With what a token has to name, and without a word of one."""
    verifier = authenticator(pool)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(UnauthorizedError):
                await verifier.caller(bearer(token(iss="https://secret.example")))
    (warning,) = [line for line in logs if line["event"] == "tokens_refused"]
    assert warning["reasons"] == {"InvalidIssuerError": 1}
    assert (warning["issuer"], warning["audience"]) == (ISSUER, "authenticated")
    assert "secret.example" not in str(logs)


def jwt_of(claims: dict[str, object]) -> str:
    """Sign claims that the library would refuse to encode."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), JWT_SECRET, algorithm="HS256")


@pytest.mark.parametrize(
    "sub", [None, 5, [], "", "x", True, ME.hex, f"{{{ME}}}", f"urn:uuid:{ME}", f" {ME}"]
)
async def test_a_subject_that_is_no_plain_uuid_is_refused(
    pool: httpx.AsyncClient, sub: object
) -> None:
    """Whatever its type."""
    claims = {**claims_for(str(ME)), "iss": ISSUER, "sub": sub}
    with pytest.raises(UnauthorizedError):
        await authenticator(pool).caller(bearer(jwt_of(claims)))


async def test_without_a_secret_no_hs256_token_is_taken(pool: httpx.AsyncClient) -> None:
    """Not even one signed with nothing."""
    settings = unit_settings(supabase_jwt_secret=None)
    respx.get(f"{URL}/jwks.json").respond(json={"keys": []})
    for secret in (JWT_SECRET, "x"):
        claims = claims_for(str(ME), iss=ISSUER)
        with pytest.raises(UnauthorizedError):
            await authenticator(pool, settings).caller(bearer(signed(claims, secret, kid="x")))


@pytest.mark.promise("verified caller")
def test_a_user_acts_for_themselves_alone() -> None:
    """Naming oneself changes nothing, naming another is refused."""
    me = Caller(user_id=ME, token="t")
    assert me.acting_for(None) == me.acting_for(ME) == ME
    with pytest.raises(ForbiddenError):
        me.acting_for(uuid.uuid4())


def test_the_service_acts_for_whom_it_names() -> None:
    """And has to name someone."""
    service = Caller(user_id=None, token=None)
    assert service.acting_for(ME) == ME
    with pytest.raises(InvalidRequestError):
        service.acting_for(None)
