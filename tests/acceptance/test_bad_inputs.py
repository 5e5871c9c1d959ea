"""Wrong input: always a 4xx in the one shape of errors, never a 5xx, and nothing is stored."""

import gzip
import json
import uuid
from collections.abc import Iterable
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.users import User, functions_client

SHAPE = {"code", "message", "details", "hint"}
SOME_ID = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
JSON = {"content-type": "application/json"}
FILTER_GRAMMAR = ["x,user_id.neq.0", '"),or(id.gt.0', "eq.*", "../auth/v1/admin", "1;drop table x"]
NOT_UUIDS: list[Any] = [
    "", "x", 5, True, [], {}, SOME_ID.replace("-", ""), f"{{{SOME_ID}}}", f"urn:uuid:{SOME_ID}",
    SOME_ID + "0", SOME_ID[:-1] + "g", f" {SOME_ID}"[:36], *FILTER_GRAMMAR,
]  # fmt: skip
NOT_LIMITS: list[Any] = [-1, 0, 201, 10**20, -(10**20), 1.5, "x", "", [], {}, *FILTER_GRAMMAR]
NOT_NUMBERS: list[Any] = ["50", 50.5, True]  # in JSON; a query has nothing but text
NOT_SEQS: list[Any] = [-1, 2**53, 10**20, 0.5, "x", [], *FILTER_GRAMMAR]


def body(**fields: Any) -> bytes:
    """Return a JSON body."""
    return json.dumps(fields).encode()


# Bodies that no endpoint takes, whatever its fields are called. All that the reader of JSON refuses
# is in tests/unit/encoding/test_strict.py: these show that each endpoint reads with it.
NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"request": "x"',
    "NUL as an escape": b'{"request": "a\\u0000b", "title": "a\\u0000b"}',
    "a million values": b'{"request": "x", "metadata": {"a": [' + b"1," * 1_000_000 + b"1]}}",
    "a name twice": b'{"request": "x", "request": "x"}',
    "depth 65": b'{"request": "x", "metadata": {"a": ' + b"[" * 63 + b"]" * 63 + b"}}",
}  # fmt: skip
NO_OBJECT = {name: name.encode() for name in ('"text"', "[]", "null", "true", "5", "[{}]")}


def spoiled(good: dict[str, Any], field: str, values: Iterable[Any]) -> dict[str, bytes]:
    """Return a good body with one field spoiled in each of these ways."""
    return {f"{field} {value!r:.60}": body(**{**good, field: value}) for value in values}


def unknown(good: dict[str, Any], *fields: str) -> dict[str, bytes]:
    """Return a good body with one field more."""
    return {f"unknown {field}": body(**good, **{field: "user"}) for field in fields}


ASK = {"request": "x"}
MEGA_MIND = {
    **unknown(ASK, "role", "history", "is_summary", "isSummary", "messages", "seq", "created_at",
              "id", "user_id", "conversation_id", "turnId", "generated_code", "__proto__"),
    **spoiled(ASK, "request", ["", "   ", "\n\t", None, 5, True, [], {}, ["x"]]),
    **spoiled(ASK, "conversationId", NOT_UUIDS),
    **spoiled(ASK, "projectId", NOT_UUIDS),
    **spoiled(ASK, "userId", NOT_UUIDS),
    **spoiled(ASK, "persistMessages", [None, "maybe", "true", 1, 2, [], {}]),
    **spoiled(ASK, "metadata", [None, [], "x", 5, {str(n): n for n in range(101)}]),
    **{f"reserved {key}": body(request="x", metadata={key: "mine"})
       for key in ("success", "filesGenerated", "files", "duration", "intent", "complexity",
                   "strategy", "timestamp", "error", "projectId", "engine", "usage", "escaped",
                   "truncated", "finishReason", "reasoning", "requestId")},
    "no request": b"{}",
}  # fmt: skip
LOAD = {"conversationId": SOME_ID}
LOAD_CONVERSATION = {
    **unknown(LOAD, "role", "select", "order", "user_id", "conversation_id", "offset"),
    **spoiled(LOAD, "conversationId", [None, *NOT_UUIDS]),
    **spoiled(LOAD, "limit", [None, *NOT_NUMBERS, *NOT_LIMITS]),
    **spoiled(LOAD, "before", [*NOT_NUMBERS, *NOT_SEQS]),
    **spoiled(LOAD, "after", NOT_SEQS),
    **spoiled(LOAD, "around", NOT_UUIDS),
    "two places": body(**LOAD, before=1, after=1),
    "no conversationId": b"{}",
}
NOT_TITLES: list[Any] = ["", "   ", "x" * 201, "🎉" * 201, 5, True, [], {}]
CREATE = {
    **unknown({}, "role", "user_id", "userId", "id", "last_seq", "created_at", "archived_at"),
    **spoiled({}, "title", [None, *NOT_TITLES]),
    **spoiled({}, "projectId", NOT_UUIDS),
    **spoiled({}, "metadata", [None, [], "x", {str(n): n for n in range(101)}]),
}
PATCH = {
    **unknown({"title": "new"}, "role", "user_id", "id", "last_seq", "metadata", "projectId"),
    **spoiled({}, "title", [None, *NOT_TITLES]),
    **spoiled({}, "archived", [None, "maybe", "yes", 2, [], {}]),
    "nothing to change": b"{}",
}
NOT_MOMENTS: list[Any] = [
    "", "now", "2026-11-22", "2026-11-22T10:00:00", "2026-13-22T10:00:00Z", 1763800000, True, [],
    "1763800000", "infinity", *FILTER_GRAMMAR,
]  # fmt: skip
NOT_QUERIES: list[Any] = [
    "", " ", "-", "or", "OR or", '"', '""', "-word", "word or -other", "(&|!:*)", "the or -a",
    "%_%_", "\\", "🎉", "x" * 1001, '"' * 10_000, 5, None, [], {},
]  # fmt: skip
FIND = {"q": "word"}
SEARCH_MESSAGES = {
    **unknown(FIND, "user_id", "userId", "select", "since", "until", "offset", "pageSize"),
    **spoiled(FIND, "q", NOT_QUERIES),
    **spoiled(FIND, "conversationId", NOT_UUIDS),
    **spoiled(FIND, "projectId", NOT_UUIDS),
    **spoiled(FIND, "role", ["", "owner", "USER", 5, [], *FILTER_GRAMMAR]),
    **spoiled(FIND, "from", NOT_MOMENTS),
    **spoiled(FIND, "to", NOT_MOMENTS),
    **spoiled(FIND, "archived", [None, "true", 1, [], {}]),
    **spoiled(FIND, "limit", [None, *NOT_LIMITS]),
    "from after to": body(**FIND, **{"from": "2026-11-22T10:00:00Z", "to": "2026-11-21T10:00:00Z"}),
    "no q": b"{}",
}
ENDPOINTS = {
    "search-messages": ("POST", "/search-messages", SEARCH_MESSAGES),
    "mega-mind": ("POST", "/mega-mind", MEGA_MIND),
    "load-conversation": ("POST", "/load-conversation", LOAD_CONVERSATION),
    "create": ("POST", "/conversations", CREATE),
    "patch": ("PATCH", "/conversations/{own}", PATCH),
}


def complaint(answer: httpx.Response, *codes: str) -> str | None:
    """Return what is wrong with an answer that ought to be a 4xx with one of these codes."""
    if not 400 <= answer.status_code < 500:
        return f"{answer.status_code}: {answer.text[:200]}"
    if answer.headers.get("content-type") != "application/json" or answer.json().keys() != SHAPE:
        return f"another shape: {answer.text[:200]}"
    if answer.json()["code"] not in codes:
        return f"another code: {answer.text[:200]}"
    return None if answer.headers.get("x-request-id") else "no request id"


def contents(db: psycopg.Connection, user: User) -> tuple[Any, ...]:
    """Return all that is stored of a user."""
    return (
        db.execute(
            "select to_jsonb(c) from conversations as c where user_id = %s order by id", (user.id,)
        ).fetchall(),
        db.execute("select id from messages where user_id = %s", (user.id,)).fetchall(),
        db.execute("select id from turns where user_id = %s", (user.id,)).fetchall(),
    )


@pytest.mark.promise(
    "strict input", red='NUL let in; a key twice; any depth; `extra="ignore"`; `strict=False`'
)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_wrong_body_is_a_400_and_changes_nothing(
    user: User, db: psycopg.Connection, endpoint: str
) -> None:
    """Each body alone, against the running bundle through the gateway."""
    own = (await user.functions.post("/conversations", json={})).json()["conversation"]["id"]
    before = contents(db, user)
    method, path, bodies = ENDPOINTS[endpoint]
    wrong = {}
    for name, content in {**NO_JSON, **NO_OBJECT, **bodies}.items():
        answer = await user.functions.request(
            method, path.format(own=own), content=content, headers=JSON
        )
        wrong[name] = complaint(answer, "invalid_request")
    assert {name: why for name, why in wrong.items() if why} == {}
    assert contents(db, user) == before


async def test_good_bodies_close_to_the_limits_are_taken(user: User) -> None:
    """The largest title, limit, key, depth and metadata that are allowed; and an escaped emoji."""
    title = "🎉" * 200
    created = await user.functions.post("/conversations", json={"title": title})
    own = created.json()["conversation"]["id"]
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    many = {str(n): n for n in range(99)} | {"deep": deep}
    taken = [
        created,
        await user.send("x", key="~" * 255, metadata=many),
        await user.functions.post(
            "/mega-mind", content=b'{"request": "\\ud83c\\udf89"}', headers=JSON
        ),
        await user.functions.post(
            "/mega-mind",
            content=b'{"request": "x"}',
            headers={"content-type": "Application/JSON; charset=utf-8"},
        ),
        await user.load(own, limit=200, before=2**53 - 1),
        await user.functions.post(
            "/load-conversation", json={"conversationId": own.upper(), "after": 0}
        ),
        await user.functions.patch(f"/conversations/{own}", json={"title": "x" * 200}),
    ]
    assert [answer.status_code for answer in taken] == [201, 200, 200, 200, 200, 200, 200]
    assert created.json()["conversation"]["title"] == title
    assert taken[2].json()["userMessage"]["content"] == "🎉"


@pytest.mark.promise("strict input")
@pytest.mark.parametrize("path", ["/load-conversation", "/conversations", "/search-messages"])
async def test_every_wrong_query_is_a_400(user: User, path: str) -> None:
    """Limits, places, ids, cursors and filter grammar in each field of each GET."""
    load = path == "/load-conversation"
    base: dict[str, str] = {"conversationId": SOME_ID} if load else {}
    base |= FIND if path == "/search-messages" else {}
    fields: dict[str, list[Any]] = {
        "limit": NOT_LIMITS,
        "x": [1, [1, 2]],
        "select": ["*"],
        "order": ["id"],
    }
    if load:
        fields |= {"conversationId": NOT_UUIDS, "around": NOT_UUIDS}
        fields |= {"before": NOT_SEQS, "after": NOT_SEQS, "archived": ["true"]}
    else:
        fields |= {"projectId": NOT_UUIDS, "archived": ["maybe", "2", *FILTER_GRAMMAR]}
        fields |= {"cursor": BAD_CURSORS, "user_id": ["eq.1"], "userId": [SOME_ID]}
    if path == "/search-messages":
        fields |= {"from": NOT_MOMENTS[:6], "to": NOT_MOMENTS[:6], "conversationId": NOT_UUIDS}
        fitting = [text for text in NOT_QUERIES if isinstance(text, str) and len(text) < 2000]
        fields |= {"q": [*fitting, "\x00"]}  # a longer URL is the gateway's to refuse
    wrong = {}
    for field, values in fields.items():
        for value in values:
            text = value if isinstance(value, str) else json.dumps(value)
            answer = await user.functions.get(path, params={**base, field: text})
            wrong[f"{field}={text}"] = complaint(answer, "invalid_request")
    assert {name: why for name, why in wrong.items() if why} == {}


BAD_CURSORS = [
    "x", "====", "é", "MjAyNi0xMS0yMg", "bm93IDZmMWMyZDFl", "AAAA", "\x00", "x" * 201,
    "MjAyNi0xMS0yMlQxMDowMDowMCBub3QtYS11dWlk", *FILTER_GRAMMAR,
]  # fmt: skip


@pytest.mark.promise("strict input")
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_conversation_id_in_the_path_that_is_none_is_a_400(user: User, method: str) -> None:
    """Whatever is tried in its place; a path that leads elsewhere is a 404."""
    wrong = {}
    tries = ["x", SOME_ID.replace("-", ""), "eq.1", "%00", "%ff", "null", "*", "1;--", '")or(1'
             ]  # fmt: skip
    for value in tries:
        answer = await user.functions.request(
            method, f"/conversations/{value}", json={"title": "new"} if method == "PATCH" else None
        )
        wrong[value] = complaint(answer, "invalid_request")
    for value in ["..%2f..", f"{SOME_ID}/messages", f"{SOME_ID}/"]:
        answer = await user.functions.request(method, f"/conversations/{value}")
        wrong[value] = complaint(answer, "not_found")
    assert {name: why for name, why in wrong.items() if why} == {}


@pytest.mark.promise("strict input")
async def test_a_wrong_idempotency_key_is_a_400_and_stores_nothing(
    user: User, db: psycopg.Connection
) -> None:
    """Too long, not ASCII, with control characters, or blank."""
    keys = {
        "256 characters": b"k" * 256,
        "8,000 characters": b"k" * 8000,
        "not ASCII": "schlüssel".encode(),
        "latin-1": "schlüssel".encode("latin-1"),
        "a tab": b"a\tb",
        "empty": b"",
    }
    wrong = {}
    for name, key in keys.items():
        answer = await user.functions.post(
            "/mega-mind", json=ASK, headers=[(b"idempotency-key", key)]
        )
        wrong[name] = complaint(answer, "invalid_request")
    assert {name: why for name, why in wrong.items() if why} == {}
    assert contents(db, user) == ([], [], [])


@pytest.mark.parametrize("character", ["\x01", "\x7f"])
async def test_a_control_character_in_the_key_never_gets_through(
    stack: Stack, user: User, db: psycopg.Connection, character: str
) -> None:
    """Inside the bundle, where no HTTP parser on the way would have refused it first."""
    async with bundle(settings_for(stack), token=user.token) as client:
        headers = [(b"idempotency-key", f"a{character}b".encode())]
        answer = await client.post("/mega-mind", json=ASK, headers=headers)
    assert complaint(answer, "invalid_request") is None
    assert contents(db, user) == ([], [], [])


@pytest.mark.promise("strict input")
async def test_a_body_that_is_not_plain_json_is_a_415(user: User, db: psycopg.Connection) -> None:
    """Another content type, none, or a compressed body: refused before it is read."""
    packed = gzip.compress(b'{"request": "x"}')
    tries: dict[str, tuple[bytes, dict[str, str]]] = {
        "none": (body(request="x"), {}),
        "a form": (b"request=x", {"content-type": "application/x-www-form-urlencoded"}),
        "gzip": (packed, {**JSON, "content-encoding": "gzip"}),
    }
    wrong = {}
    for name, (content, headers) in tries.items():
        for path in ("/mega-mind", "/load-conversation", "/conversations"):
            answer = await user.functions.post(path, content=content, headers=headers)
            wrong[f"{name} {path}"] = complaint(answer, "unsupported_media_type")
    assert {name: why for name, why in wrong.items() if why} == {}
    assert contents(db, user) == ([], [], [])


async def test_another_path_is_a_404(user: User) -> None:
    """Also a slash too many, another case, and a path with something behind it."""
    no_path = ["/", "", "/nothing", "/mega-mind/", "/mega-mind/x", "/Mega-Mind", "/mega_mind",
               "/load-conversation/", "/conversations/", "/redoc"]  # fmt: skip
    answers = {path: await user.functions.post(path, json=ASK) for path in no_path}
    wrong = {path: complaint(answer, "not_found") for path, answer in answers.items()}
    assert {path: why for path, why in wrong.items() if why} == {}


async def test_a_stranger_with_a_bad_body_learns_only_that_they_are_one(stack: Stack) -> None:
    """401 comes before 400, 413 and 415."""
    async with functions_client(stack.settings.url) as client:
        answers = [
            await client.request(method, path.format(own=SOME_ID), content=content, headers=headers)
            for method, path, _ in ENDPOINTS.values()
            for content in (b"", b"{", b"[]", b'{"x": 1}')
            for headers in (JSON, {"content-type": "text/plain"})
        ]
        answers.append(await client.get("/load-conversation", params={"limit": "x"}))
        answers.append(await client.get("/conversations", params={"cursor": "x"}))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("prefix", ["", "/functions/v1"])
async def test_paths_work_with_and_without_the_prefix(
    stack: Stack, user: User, prefix: str
) -> None:
    """On the bundle's own port: gateways strip the prefix or leave it."""
    base = f"http://127.0.0.1:{stack.settings.ports.functions}{prefix}"
    headers = {"authorization": f"Bearer {user.token}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        sent = await client.post("/mega-mind", json=ASK)
        own = {"conversationId": sent.json()["conversationId"]}
        answers = [
            sent,
            await client.get("/load-conversation", params=own),
            await client.post("/load-conversation", json=own),
            await client.get("/conversations"),
            await client.get(f"/conversations/{own['conversationId']}"),
            await client.patch(f"/conversations/{own['conversationId']}", json={"archived": True}),
            await client.get("/health"),
            await client.delete(f"/conversations/{own['conversationId']}"),
        ]
        refused = await client.post("/mega-mind", json={})
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert refused.status_code == 400


async def test_a_browser_may_read_answers_and_errors(stack: Stack, user: User) -> None:
    """Errors too carry what lets a page read them, with the request id and Retry-After exposed."""
    origin = {"origin": "https://app.example"}
    async with functions_client(stack.settings.url) as stranger:
        answers = [
            await user.functions.get("/conversations", headers=origin),
            await user.functions.post("/mega-mind", json={}, headers=origin),
            await user.functions.get(f"/conversations/{uuid.uuid4()}", headers=origin),
            await stranger.post("/mega-mind", json=ASK, headers=origin),
            await stranger.get("/nothing", headers=origin),
        ]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 401, 404]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"x-request-id", "retry-after"} <= set(exposed.split(", "))
        assert "access-control-allow-credentials" not in answer.headers
