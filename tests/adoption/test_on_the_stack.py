"""Adopted conversations in a running system: who sees and finds them, what the AI is given."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.adoption.tables import LEGACY
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.old_chats import TABLES, Project
from tests.support.sql_calls import assert_whole
from tests.support.users import User

OLD = [("user", "Why does the quincejelly parser fail?"), ("assistant", "It eats the last comma.")]


@pytest.fixture
def old(stack: Stack, tmp_path: Path) -> Iterator[Project]:
    """Old tables in a schema of the shared stack's database."""
    project = Project(stack.settings.db_url, tmp_path, f"old_{uuid.uuid4().hex[:8]}")
    project.has(TABLES, chats=0)
    yield project
    project.db.execute(f"drop schema {project.old_schema}, {LEGACY} cascade".encode())
    project.db.close()


def old_chat(project: Project, user: User) -> str:
    """Insert an old conversation of a user's, and return its id."""
    chat = str(uuid.uuid4())
    project.insert(
        "conversations", id=chat, user_id=user.id, title="Jelly", updated_at="2023-01-01"
    )
    for second, (role, content) in enumerate(OLD):
        project.says(chat, content, role=role, user_id=user.id,
                     created_at=f"2023-01-01 00:00:0{second}")  # fmt: skip
    return chat


def said(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return who said what."""
    return [(message["role"], message["content"]) for message in messages]


async def test_the_owner_alone_reads_finds_and_goes_on_with_an_old_conversation(
    stack: Stack, old: Project, user: User, other_user: User, db: psycopg.Connection
) -> None:
    """The AI is given what was said there, and the reply comes after it."""
    chat, others = old_chat(old, user), old_chat(old, other_user)
    adopted = old.adopt("--from", old.old_schema)
    assert adopted.code == 0, adopted.text

    loaded = await user.load(chat)
    found = await user.functions.post("/search-messages", json={"q": "quincejelly"})
    rows = await (await user.supabase()).table("messages").select("conversation_id").execute()
    assert said(loaded.json()["messages"]) == OLD
    assert [hit["conversationId"] for hit in found.json()["hits"]] == [chat]
    assert {row["conversation_id"] for row in rows.data} == {chat}  # type: ignore[call-overload, index]
    assert (await user.load(others)).status_code == 404

    engine = ScriptedEngine("The comma is back.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        answer = await client.post(
            "/mega-mind", json={"request": "And now?", "conversationId": chat}
        )
    assert answer.json()["success"] is True
    assert [(row.role, row.content) for row in engine.histories[0]] == OLD
    assert said((await user.load(chat)).json()["messages"])[2:] == [
        ("user", "And now?"), ("assistant", "The comma is back."),
    ]  # fmt: skip
    assert (assert_whole(db, chat), assert_whole(db, others)) == (4, 2)
