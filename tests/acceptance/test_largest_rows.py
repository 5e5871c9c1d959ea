"""Whatever can be stored can be loaded, searched, exported, imported again and erased."""

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from shared.encoding.sizes import MAX_GIVEN_METADATA_BYTES, MAX_METADATA_BYTES, MAX_TEXT_BYTES
from shared.imports.formats.ours import checksum_of
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.importing import broken, send
from tests.support.users import User

pytestmark = pytest.mark.promise("row sizes")

PAGE_BYTES = 8_000_000
KINDS = {
    "words": "word and another word, ",
    "lines": "\n",
}


def filled(pattern: str, size: int) -> str:
    """Return as much of a repeated text as takes no more than so many bytes as JSON."""
    each = len(json.dumps(pattern, ensure_ascii=False).encode()) - 2
    return pattern * (size // each)


def metadata_of(size: int) -> dict[str, Any]:
    """Return metadata that takes nearly so many bytes."""
    return {"own": "m" * (size - 500)}


async def largest(db: psycopg.Connection, user: User, pattern: str) -> str:
    """Store a conversation of the largest rows that there can be; return its id."""
    client = await user.supabase()
    started = (
        await client.table("conversations")
        .insert(
            {
                "user_id": user.id,
                "title": "T" * 200,
                "metadata": metadata_of(MAX_GIVEN_METADATA_BYTES),
            }
        )
        .execute()
    )
    rows: Any = started.data
    conversation = str(rows[0]["id"])
    text, metadata = filled(pattern, MAX_TEXT_BYTES), metadata_of(MAX_METADATA_BYTES)
    await client.table("messages").insert(
        {
            "conversation_id": conversation, "user_id": user.id, "role": "user",
            "content": text, "metadata": metadata,
        }
    ).execute()  # fmt: skip
    db.execute(
        "insert into messages (conversation_id, user_id, role, content, generated_code, metadata)"
        " values (%s, %s, 'assistant', %s, %s, %s), (%s, %s, 'assistant', 'needle', null, '{}')",
        (conversation, user.id, text, text, Jsonb(metadata), conversation, user.id),
    )
    return conversation


@pytest.mark.parametrize("pattern", KINDS.values(), ids=KINDS)
async def test_the_largest_rows_go_everywhere_that_others_do(
    user: User, db: psycopg.Connection, pattern: str
) -> None:
    """To their reader in pages, to the search, out, in again, and away."""
    conversation = await largest(db, user, pattern)
    for query in ({}, {"limit": 1}, {"after": 0, "limit": 1}, {"before": 3, "limit": 200}):
        page = await user.load(conversation, **query)
        assert page.status_code == 200
        assert len(page.content) <= PAGE_BYTES

    exports = {
        kind: await user.functions.get(
            "/export-conversation", params={"conversationId": conversation, "format": kind}
        )
        for kind in ("json", "markdown")
    }
    document = exports["json"].json()
    assert len(document["messages"]) == 3
    assert document["checksum"]["value"] == checksum_of(document)
    assert len(exports["markdown"].text) > len(filled(pattern, MAX_TEXT_BYTES))
    account = await user.functions.get("/export-account")
    assert account.status_code == 200
    found = await user.functions.get("/search-messages", params={"q": "needle"})
    assert [hit["conversationId"] for hit in found.json()["hits"]] == [conversation]

    taken = (await send(user, exports["json"].content)).json()
    assert taken["skipped"][0]["reason"] == "already_here"
    assert broken(db, [conversation]) == []
    erased = await user.functions.post(
        "/erase-account", json={"confirm": "erase"}, headers={"Idempotency-Key": "e"}
    )
    assert erased.status_code == 200
    left = db.execute("select count(*) from messages where user_id = %s", (user.id,)).fetchone()
    assert left == (0,)


async def test_a_pdf_of_the_largest_rows_is_made(user: User, db: psycopg.Connection) -> None:
    """It takes seconds, and there is a limit on those."""
    conversation = await largest(db, user, KINDS["lines"])
    answer = await user.functions.get(
        "/export-conversation", params={"conversationId": conversation, "format": "pdf"}
    )
    assert answer.status_code == 200
    assert answer.content.startswith(b"%PDF")


async def test_the_largest_rows_come_back_from_their_export(
    user: User, other_user: User, db: psycopg.Connection
) -> None:
    """For another account too: what can be exported can be imported."""
    conversation = await largest(db, user, KINDS["lines"])
    exported = await user.functions.get(
        "/export-conversation", params={"conversationId": conversation}
    )
    report = (await send(other_user, exported.content)).json()
    assert [taken["messages"] for taken in report["taken"]] == [3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request", "x" * (MAX_TEXT_BYTES + 1)),
        ("request", "x" + "\n" * (MAX_TEXT_BYTES // 2)),
        ("request", "漢" * (MAX_TEXT_BYTES // 3 + 1)),
        ("metadata", {"a": "x" * MAX_GIVEN_METADATA_BYTES}),
        ("metadata", {"a": [1e300] * 2_000}),
    ],
)
async def test_a_request_that_no_row_would_hold_is_refused_before_anything_is_stored(
    user: User, db: psycopg.Connection, field: str, value: Any
) -> None:
    """It says which limit that is; a body of eight megabytes is let in."""
    body = {"request": "Hello", field: value}
    answer = await user.functions.post("/mega-mind", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    (problem,) = answer.json()["details"]
    assert problem["field"] == field
    assert "at most" in problem["problem"]
    stored = db.execute("select count(*) from conversations where user_id = %s", (user.id,))
    assert stored.fetchone() == (0,)


async def test_the_largest_request_and_reply_are_a_turn(stack: Stack, user: User) -> None:
    """Beside as much metadata as may be given, which both rows have."""
    reply = "```js path=a.js\n" + "y" * (MAX_TEXT_BYTES - 100) + "\n```\n"
    body = {
        "request": "x" * MAX_TEXT_BYTES,
        "metadata": {"own": "m" * (MAX_GIVEN_METADATA_BYTES - 20)},
    }
    async with bundle(
        settings_for(stack), token=user.token, engine=ScriptedEngine(reply * 3)
    ) as client:
        answer = await client.post("/mega-mind", json=body)
    assert answer.status_code == 200
    message = answer.json()["message"]
    assert message["content"] == (reply * 3)[: len(message["content"])]
    page = await user.load(answer.json()["conversationId"], limit=1)
    assert len(page.content) <= PAGE_BYTES
