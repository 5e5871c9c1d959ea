"""Everything a user can do with one account's conversations, together rather than apart."""

import io
import json
import os
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.invariants import found_broken
from tests.support.users import User

IMPORTED = int(os.environ.get("CONTEXT_MESSAGES", "600"))
BUDGET = 5 * IMPORTED  # less than half of what they take
MOST_REPLIES = 8
DEEPEST = 128  # levels of metadata that are taken


def old_chat(messages: int) -> dict[str, Any]:
    """Return a list of messages of 2020, each with a word of its own."""
    began = datetime(2020, 1, 1, tzinfo=UTC)
    return {
        "title": "An old chat",
        "messages": [
            {
                "role": ("user", "assistant")[n % 2],
                "content": f"Quokka{n} says hello.",
                "timestamp": (began + timedelta(minutes=n)).isoformat(),
            }
            for n in range(messages)
        ],
    }


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    """GET something that is there."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_imported_chat_is_a_chat_like_any_other(
    stack: Stack, user: User, db: psycopg.Connection, service: httpx.AsyncClient
) -> None:
    """Found, listed, gone on with under a budget, summarised, counted, exported, and erased."""
    began = db.execute("select now()").fetchone()
    sent = await user.functions.post("/import-conversation", json=old_chat(IMPORTED))
    (taken,) = sent.json()["taken"]
    chat = taken["conversationId"]
    young = (await user.send("Quokka, are you there?")).json()["conversationId"]

    hits = (await get(user.functions, "/search-messages", q="quokka7"))["hits"]
    assert [(hit["conversationId"], hit["seq"]) for hit in hits] == [(chat, 8)]
    listed = (await get(user.functions, "/conversations"))["conversations"]
    assert [row["id"] for row in listed] == [young, chat]
    assert listed[1]["updated_at"].startswith("2020-01-")

    engine = ScriptedEngine()
    settings = settings_for(stack, history_tokens=BUDGET, summary_tokens=300)
    body = {"request": "And now?", "conversationId": chat}
    contexts: list[dict[str, Any]] = []
    while not contexts or contexts[-1]["omitted"]:
        # Closing it lets the summary be written: one a reply, so that what was imported in bulk is
        # summed up over several.
        assert len(contexts) < MOST_REPLIES
        async with bundle(settings, token=user.token, engine=engine) as client:
            reply = (await client.post("/mega-mind", json=body)).json()["message"]
            contexts.append(reply["metadata"]["context"])
    assert contexts[0]["omitted"] > 0
    replies = len(contexts)
    assert contexts[-1]["fromSeq"] == contexts[-1]["summaryOf"]["toSeq"] + 1
    assert {row.role for row in engine.histories[0] if not row.is_note} == {"user", "assistant"}
    listed = (await get(user.functions, "/conversations"))["conversations"]
    assert [row["id"] for row in listed] == [chat, young]

    today = datetime.now(UTC)
    figures = await get(
        user.functions, "/conversation-analytics",
        **{"from": "2020-01-01T00:00:00Z", "to": (today + timedelta(days=1)).isoformat(),
           "bucket": "month"},
    )  # fmt: skip
    assert figures["totals"]["turns"] == replies + 1

    first = await get(user.functions, "/export-conversation", conversationId=chat)
    assert first["source"]["imported"]["source"] == "list"
    assert first["source"]["imported"]["lastSeq"] == IMPORTED
    zipped = await user.functions.get("/export-account")
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(zipped.content)).read("manifest.json"))
    summaries = sum(row["is_summary"] for row in first["messages"])
    assert summaries >= 1
    assert manifest["counts"] == {
        "conversations": 2, "archived": 0, "turns": replies + 1,
        "messages": IMPORTED + 2 * (replies + 1) + summaries,
    }  # fmt: skip

    forget_for_a_year(db, young)
    await service.put("/retention-policies", json={"userId": user.id, "deleteAfterDays": 90})
    run = {"userId": user.id, "dryRun": False}
    retained = (await service.post("/apply-retention", json=run)).json()
    assert retained["deleted"]["conversations"] == 1
    assert broken_since(db, began) == []
    erased = await user.functions.post("/erase-account", json={"confirm": "erase"})
    assert erased.json()["removed"] == {
        "conversations": 1, "messages": IMPORTED + 2 * replies + summaries, "turns": replies,
        "summaries": summaries, "importParts": 1,
    }  # fmt: skip
    left = db.execute("select count(*) from search.documents where user_id = %s", (user.id,))
    assert left.fetchone() == (0,)
    assert broken_since(db, began) == []
    assert (await get(user.functions, "/search-messages", q="quokka7"))["hits"] == []


def forget_for_a_year(db: psycopg.Connection, conversation: str) -> None:
    """Move a conversation with all of its times a year back."""
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        for statement in (
            "update messages set created_at = created_at - interval '1 year'"
            " where conversation_id = %s",
            "update conversations set created_at = created_at - interval '1 year',"
            " updated_at = updated_at - interval '1 year' where id = %s",
        ):
            db.execute(statement.encode(), (conversation,))


def broken_since(db: psycopg.Connection, moment: Any) -> Any:
    """Return what the doctor finds since a moment; turns of others may run meanwhile."""
    return found_broken(db, grace=1_000_000, since=moment[0])


def nested(levels: int) -> dict[str, Any]:
    """Return an object in an object in an object ..."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


async def insert(user: User, table: str, row: dict[str, Any]) -> httpx.Response:
    """Insert a row over the Data API as its owner."""
    headers = {
        "apikey": user.environment["SUPABASE_PUBLISHABLE_KEY"],
        "authorization": f"Bearer {user.token}",
        "prefer": "return=representation",
    }
    async with httpx.AsyncClient(base_url=user.environment["SUPABASE_URL"], timeout=60) as http:
        return await http.post(f"/rest/v1/{table}", json=row, headers=headers)


async def test_the_deepest_metadata_is_read_by_everything(user: User, other_user: User) -> None:
    """What the Data API takes, no reader fails on; a copy of it exports the same."""
    deep = nested(DEEPEST)
    made = await insert(user, "conversations", {"user_id": user.id, "metadata": deep})
    chat = made.json()[0]["id"]
    row = {"conversation_id": chat, "user_id": user.id, "role": "user", "content": "Deep."}
    assert (await insert(user, "messages", {**row, "metadata": deep})).status_code == 201
    loaded = (await user.load(chat)).json()
    assert loaded["messages"][0]["metadata"] == loaded["conversation"]["metadata"] == deep
    assert (await get(user.functions, "/conversations"))["conversations"][0]["metadata"] == deep
    query = {"conversationId": chat}
    for file_format in ("markdown", "pdf"):
        answer = await user.functions.get(
            "/export-conversation", params={**query, "format": file_format}
        )
        assert answer.status_code == 200
    document = await get(user.functions, "/export-conversation", **query)
    assert document["messages"][0]["metadata"] == deep
    assert (await user.functions.get("/export-account")).status_code == 200
    copied = await other_user.functions.post("/import-conversation", json=document)
    (taken,) = copied.json()["taken"]
    copy = await get(
        other_user.functions, "/export-conversation", conversationId=taken["conversationId"]
    )
    assert copy["checksum"] == document["checksum"]
    assert (await user.send("Go on", conversationId=chat)).json()["success"] is True
