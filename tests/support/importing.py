"""Sends files to import-conversation, and looks at what came of them."""

from typing import Any

import httpx
import psycopg

from shared.encoding.canonical import canonical
from shared.encoding.strict import STORED, parse_json
from tests.support.invariants import found_broken
from tests.support.users import User

JSON = {"content-type": "application/json"}
ZIP = {"content-type": "application/zip"}
LIST: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello", "timestamp": "2026-01-02T03:04:05Z"},
    {"role": "assistant", "content": "Hi", "timestamp": 1_767_323_046_500},
    {"role": "user", "content": "And now?"},
]


async def send(
    user: User, content: Any, headers: dict[str, str] | None = None, **query: str
) -> httpx.Response:
    """POST import-conversation."""
    body = content if isinstance(content, bytes) else canonical(content).encode()
    return await user.functions.post(
        "/import-conversation", content=body, headers={**JSON, **(headers or {})}, params=query
    )


async def taken_from(user: User, content: Any, headers: dict[str, str] | None = None) -> list[str]:
    """Import a file that is all taken; return the conversations' ids."""
    report = (await send(user, content, headers)).json()
    assert report["skipped"] == [], report
    return [row["conversationId"] for row in report["taken"]]


async def exported(user: User, conversation: str) -> dict[str, Any]:
    """Export a conversation as JSON."""
    answer = await user.functions.get(
        "/export-conversation", params={"conversationId": conversation}
    )
    document: dict[str, Any] = parse_json(answer.text, STORED)
    return document


async def said_in(user: User, conversation: str) -> list[tuple[str, str]]:
    """Return who said what in a conversation."""
    messages = (await user.load(conversation)).json()["messages"]
    return [(message["role"], message["content"]) for message in messages]


def broken(db: psycopg.Connection, conversations: list[str]) -> list[str]:
    """Return what the doctor finds in these conversations and their messages."""
    rows = db.execute(
        "select id::text from messages where conversation_id = any (%s::uuid[])", (conversations,)
    ).fetchall()
    ours = {*conversations, *(row[0] for row in rows)}
    return [row["name"] for row in found_broken(db, grace=1_000_000) if row["id"] in ours]


def count_of(db: psycopg.Connection, user: User) -> tuple[Any, ...] | None:
    """Return how many conversations and messages a user has, and how many of them are hidden."""
    return db.execute(
        "select (select count(*) from conversations where user_id = %(id)s),"
        " (select count(*) from messages where user_id = %(id)s),"
        " (select count(*) from conversations where user_id = %(id)s"
        "  and deleting_since is not null)",
        {"id": user.id},
    ).fetchone()
