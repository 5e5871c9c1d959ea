"""Who is calling: every kind of bad token is one and the same 401, and nobody acts for another."""

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import jwt
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.proxy import Proxy, proxy_to, replies
from tests.support.tokens import (
    SigningKey,
    by_hand,
    claims_for,
    ec_key,
    encoded,
    jwks,
    rsa_key,
    signed,
)
from tests.support.users import User, functions_client

Headers = list[tuple[str, str]]

UNAUTHORIZED = {
    "code": "unauthorized",
    "message": "A valid access token is required.",
    "details": None,
    "hint": None,
}


@dataclass(frozen=True)
class Forger:
    """What it takes to make a token: whose it says to be, and the project's secrets."""

    user: User
    secret: str
    publishable_key: str
    secret_key: str

    def token(self, **changes: object) -> str:
        """Return a token that the project's Auth might have signed."""
        return signed(claims_for(self.user.id, **changes), self.secret)

    def with_header(self, **header: object) -> str:
        """Return a good token with these members in its header."""
        return signed(claims_for(self.user.id), self.secret, **header)

    def unsigned(self, algorithm: str, signature: bytes = b"") -> str:
        """Return a token under an algorithm that proves nothing."""
        header = {"alg": algorithm, "typ": "JWT"}
        return by_hand(header, claims_for(self.user.id), signature)

    def embedded(self, **header: object) -> str:
        """Return a token that brings along the key to verify it with."""
        key = rsa_key("attacker")
        return key.sign(claims_for(self.user.id), **header)


@pytest.fixture
def forger(stack: Stack, user: User) -> Forger:
    """Somebody who knows how tokens are made."""
    environment = stack.settings.environment()
    return Forger(
        user,
        environment["SUPABASE_JWT_SECRET"],
        environment["SUPABASE_PUBLISHABLE_KEY"],
        environment["SUPABASE_SECRET_KEY"],
    )


BAD_TOKENS: dict[str, Callable[[Forger], str]] = {
    "no dots": lambda f: "nonsense",
    "two parts": lambda f: f.token().rsplit(".", 1)[0],
    "four parts": lambda f: f.token() + ".x",
    "not base64": lambda f: "!!!.???.***",
    "not JSON": lambda f: by_hand(b"{", b"}", b"x"),
    "header is a list": lambda f: by_hand([], claims_for(f.user.id), b"x"),
    "claims are a list": lambda f: jwt.api_jws.encode(b"[]", f.secret, algorithm="HS256"),
    "not ASCII": lambda f: f.token() + "\u00e9",
    "signature cut": lambda f: f.token()[:-6],
    "signature of another secret": lambda f: signed(claims_for(f.user.id), "x" * 40),
    "claims exchanged": lambda f: ".".join(
        [f.token().split(".")[0], encoded(claims_for(str(uuid.uuid4()))), f.token().split(".")[2]]
    ),
    "alg none": lambda f: f.unsigned("none"),
    "alg None": lambda f: f.unsigned("None"),
    "alg NONE": lambda f: f.unsigned("NONE"),
    "alg nOnE, signed with something": lambda f: f.unsigned("nOnE", b"signature"),
    "alg empty": lambda f: f.unsigned(""),
    "alg HS512": lambda f: jwt.encode(claims_for(f.user.id), f.secret, algorithm="HS512"),
    "alg hs256": lambda f: f.unsigned("hs256"),
    "no alg": lambda f: by_hand({"typ": "JWT"}, claims_for(f.user.id)),
    "alg is a number": lambda f: by_hand({"alg": 5}, claims_for(f.user.id)),
    "unknown critical extension": lambda f: f.with_header(crit=["x"], x=1),
    "unknown kid": lambda f: rsa_key(uuid.uuid4().hex).sign(claims_for(f.user.id)),
    "kid is a number": lambda f: by_hand({"alg": "RS256", "kid": 5}, claims_for(f.user.id), b"x"),
    "kid is a path": lambda f: rsa_key("../../etc/passwd").sign(claims_for(f.user.id)),
    "embedded jwk": lambda f: f.embedded(jwk=rsa_key("attacker").jwk()),
    "embedded jku": lambda f: f.embedded(jku="http://127.0.0.1:9/jwks.json"),
    "embedded x5u": lambda f: f.embedded(x5u="http://127.0.0.1:9/cert.pem"),
    "embedded x5c": lambda f: f.embedded(x5c=["MIIB"]),
    "expired": lambda f: f.token(exp=int(time.time()) - 60),
    "exp is no number": lambda f: f.token(exp="soon"),
    "no exp": lambda f: f.token(exp=None),
    "not valid yet": lambda f: f.token(nbf=int(time.time()) + 600),
    "another aud": lambda f: f.token(aud="admin"),
    "no aud": lambda f: f.token(aud=None),
    "no sub": lambda f: f.token(sub=None),
    "sub is no uuid": lambda f: f.token(sub="1 or 1=1"),
    "role service_role": lambda f: f.token(role="service_role"),
    "role anon": lambda f: f.token(role="anon"),
    "no role": lambda f: f.token(role=None),
    "role is a list": lambda f: f.token(role=["authenticated"]),
    "a publishable key": lambda f: f.publishable_key,
    "a secret key": lambda f: f.secret_key,
    "deeply nested claims": lambda f: jwt.api_jws.encode(
        b'{"a":' * 1000 + b"1" + b"}" * 1000, f.secret, algorithm="HS256"
    ),
    "deeply nested header": lambda f: by_hand(b"[" * 5000, {}, b"x"),
}

BAD_HEADERS: dict[str, Callable[[Forger], Headers]] = {
    "nothing": lambda f: [],
    "a publishable apikey alone": lambda f: [("apikey", f.publishable_key)],
    "a wrong secret apikey": lambda f: [("apikey", f.secret_key + "x")],
    "another scheme": lambda f: [("authorization", f"Basic {f.token()}")],
    "no scheme": lambda f: [("authorization", f.token())],
    "a comma and a second": lambda f: [("authorization", f"Bearer {f.token()}, Bearer x")],
    "bad token beside a good secret key": lambda f: [
        ("apikey", f.secret_key),
        ("authorization", "Bearer nonsense"),
    ],
    "expired token beside a good secret key": lambda f: [
        ("apikey", f.secret_key),
        ("authorization", f"Bearer {f.token(exp=1)}"),
    ],
    "publishable key twice": lambda f: [
        ("apikey", f.publishable_key),
        ("authorization", f"Bearer {f.publishable_key}"),
    ],
}


def all_bad_headers(forger: Forger) -> dict[str, Headers]:
    """Return every way of not proving who one is."""
    tokens = {name: make(forger) for name, make in BAD_TOKENS.items()}
    as_headers = {name: [("authorization", f"Bearer {token}")] for name, token in tokens.items()}
    return as_headers | {name: make(forger) for name, make in BAD_HEADERS.items()}


def encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as bytes, so that the client takes those that are not ASCII."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


async def refusals(
    client: httpx.AsyncClient, tries: dict[str, Headers], marker: str
) -> dict[str, object]:
    """Ask once with each of these headers; return what was not the one 401."""
    wrong: dict[str, object] = {}
    for name, headers in tries.items():
        answer = await client.post("/mega-mind", json={"request": marker}, headers=encode(headers))
        good = answer.status_code == 401 and answer.json() == UNAUTHORIZED
        if not (good and answer.headers["www-authenticate"] == "Bearer"):
            wrong[name] = (answer.status_code, answer.text)
        if not answer.headers.get("x-request-id"):
            wrong[f"{name}: request id"] = dict(answer.headers)
    return wrong


def stored(db: psycopg.Connection, marker: str) -> int:
    """Return how many messages with this text there are."""
    row = db.execute("select count(*) from messages where content = %s", (marker,)).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_token_made_like_the_bad_ones_but_good_is_accepted(
    stack: Stack, forger: Forger, db: psycopg.Connection
) -> None:
    """So that each refusal below is for the one thing that is wrong."""
    marker = uuid.uuid4().hex
    good = {
        "plain": forger.token(),
        "with the issuer": forger.token(iss=f"{stack.settings.url}/auth/v1"),
        "upper-case sub": forger.token(sub=forger.user.id.upper()),
        "just expired, within the leeway": forger.token(exp=int(time.time()) - 2),
    }
    statuses = {}
    async with functions_client(stack.settings.url) as client:
        for name, token in good.items():
            headers = {"authorization": f"Bearer {token}"}
            answer = await client.post("/mega-mind", json={"request": marker}, headers=headers)
            statuses[name] = answer.status_code
    assert statuses == dict.fromkeys(good, 200)
    assert stored(db, marker) == len(good)


@pytest.mark.promise("bad tokens", red="`aud` not checked")
async def test_every_kind_of_bad_token_is_the_same_401_and_stores_nothing(
    stack: Stack, forger: Forger, db: psycopg.Connection
) -> None:
    """Through the gateway, on the running bundle: one body for all, and no row."""
    marker = uuid.uuid4().hex
    async with functions_client(stack.settings.url) as client:
        assert await refusals(client, all_bad_headers(forger), marker) == {}
    assert stored(db, marker) == 0


@pytest.mark.promise("bad tokens")
async def test_a_bad_token_costs_no_call_to_the_store(stack: Stack, forger: Forger) -> None:
    """However bad: all that is ever fetched is the list of signing keys, once."""
    async with proxy_to(stack.settings.url) as proxy:
        settings = settings_for(stack, supabase_url=proxy.url)
        async with bundle(settings, token="") as client:
            del client.headers["authorization"]
            assert await refusals(client, all_bad_headers(forger), "unpaid") == {}
            assert proxy.calls == ["jwks.json"]
            good = {"authorization": f"Bearer {forger.token()}"}
            await client.post("/mega-mind", json={"request": "paid"}, headers=good)
    assert proxy.rpc_calls == ["begin_turn", "complete_turn"]


@pytest.mark.promise("isolation", red="a run that stores nothing reads any conversation")
async def test_the_service_key_gives_nobodys_history_to_another(
    user: User, other_user: User, service: httpx.AsyncClient
) -> None:
    """Acting for one user, a conversation of another's is none, stored or not."""
    theirs = (await other_user.send("A secret plan")).json()["conversationId"]
    body = {"request": "Go on", "userId": user.id, "conversationId": theirs}
    answers = [
        await service.post("/mega-mind", json={**body, "persistMessages": persist})
        for persist in (True, False)
    ]
    own = {**body, "userId": other_user.id, "persistMessages": False}
    allowed = await service.post("/mega-mind", json=own)
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()
    assert "A secret plan" in allowed.json()["message"]["content"]


BY_ID: list[tuple[str, str, dict[str, str] | None]] = [
    ("GET", "/load-conversation?conversationId={id}", None),
    ("POST", "/load-conversation", {"conversationId": "{id}"}),
    ("GET", "/export-conversation?conversationId={id}", None),
    ("POST", "/export-conversation", {"conversationId": "{id}"}),
    ("GET", "/conversations/{id}", None),
    ("PATCH", "/conversations/{id}", {"title": "Ours"}),
    ("DELETE", "/conversations/{id}", None),
]


@pytest.mark.promise("verified caller")
@pytest.mark.parametrize(("method", "path", "body"), BY_ID)
async def test_the_service_says_whose_data_a_request_is_about(
    user: User,
    other_user: User,
    service: httpx.AsyncClient,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    """One clear 400 where it names nobody; a token says it itself, and naming another is a 403."""
    made = await user.functions.post("/conversations", json={})
    conversation = made.json()["conversation"]["id"]
    filled = {name: value.format(id=conversation) for name, value in (body or {}).items()}

    async def ask(client: httpx.AsyncClient, **whose: str) -> httpx.Response:
        target = httpx.URL(path.format(id=conversation))
        if method == "POST":
            return await client.post(target, json={**filled, **whose})
        merged = target.copy_merge_params(whose)
        return await client.request(method, merged, json=filled or None)

    unnamed = await ask(service)
    claimed = await ask(user.functions, userId=other_user.id)
    named = await ask(service, userId=user.id)
    assert (unnamed.status_code, unnamed.json()["code"]) == (400, "invalid_request")
    assert unnamed.json()["message"] == "With the service key, say whose: userId."
    assert (claimed.status_code, named.status_code) == (403, 200)


async def test_the_service_key_has_no_conversations_of_its_own(service: httpx.AsyncClient) -> None:
    """Listing and creating are a signed-in user's: 403, not somebody's rows."""
    listed = await service.get("/conversations")
    created = await service.post("/conversations", json={})
    assert (listed.status_code, created.status_code) == (403, 403)


@pytest.mark.promise("verified caller", red="`acting_for` takes the claimed user")
async def test_a_user_naming_another_is_refused_and_nothing_is_stored(
    user: User, other_user: User, db: psycopg.Connection
) -> None:
    """A's token with B's userId: 403, and neither has a row. One's own id is fine."""
    refused = await user.send("as you", userId=other_user.id)
    unstored = await user.send("as you", userId=other_user.id, persistMessages=False)
    count = db.execute(
        "select count(*) from conversations where user_id in (%s, %s)", (user.id, other_user.id)
    ).fetchone()
    own = await user.send("as me", userId=user.id)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert unstored.status_code == 403
    assert count == (0,)
    assert own.status_code == 200


async def statuses_of(
    client: httpx.AsyncClient, tokens: dict[str, str]
) -> dict[str, tuple[int, str | None]]:
    """Ask for an unstored answer with each token; return status and error code."""
    seen = {}
    for name, token in tokens.items():
        answer = await client.post(
            "/mega-mind",
            json={"request": "Hi", "persistMessages": False},
            headers={"authorization": f"Bearer {token}"},
        )
        seen[name] = (answer.status_code, answer.json().get("code"))
    return seen


@pytest.mark.promise("bad tokens")
async def test_tokens_signed_by_the_projects_published_keys_are_accepted(
    stack: Stack, user: User, proxy: Proxy
) -> None:
    """RS256 and ES256 by their kid, beside a shared secret too, for which no public key passes."""
    rs, es = rsa_key("rs"), ec_key("es")
    proxy.on("jwks.json", replies(200, jwks(rs, es)))
    claims = claims_for(user.id, iss=f"{proxy.url}/auth/v1")
    impostor = SigningKey("rs", "RS256", rsa_key("impostor").private)
    good = {"RS256": rs.sign(claims), "ES256": es.sign(claims)}
    bad = {
        "HS256 with the public key": by_hand_hs256(claims, rs.public_pem, kid="rs"),
        "HS256 with the public key as JWK": by_hand_hs256(claims, encoded(rs.jwk()).encode(), "rs"),
        "another's key under a known kid": impostor.sign(claims),
        "RS256's kid on an ES256 token": es.sign(claims, kid="rs"),
        "no kid": rs.sign(claims, kid=""),
        "HS256 with another secret": signed(claims, "s" * 40),
    }
    shared = stack.settings.environment()["SUPABASE_JWT_SECRET"]
    tokens = {**good, **bad, "shared secret": signed(claims, shared)}
    for secret in (None, shared):
        settings = settings_for(stack, supabase_url=proxy.url, supabase_jwt_secret=secret)
        async with bundle(settings, token="") as client:
            seen = await statuses_of(client, tokens)
        accepted = {*good, "shared secret"} if secret else {*good}
        assert {name for name, answer in seen.items() if answer == (200, None)} == accepted
        assert {*seen.values()} == {(200, None), (401, "unauthorized")}
    assert [call for call in proxy.calls if call == "jwks.json"] == ["jwks.json"] * 2


def by_hand_hs256(claims: dict[str, object], secret: bytes, kid: str) -> str:
    """Sign with HS256 and any bytes at all: the library refuses to use a public key so."""
    signed_part = f"{encoded({'alg': 'HS256', 'kid': kid})}.{encoded(claims)}"
    digest = hmac.new(secret, signed_part.encode(), hashlib.sha256).digest()
    return f"{signed_part}.{encoded(digest)}"
