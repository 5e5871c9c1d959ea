"""Conversations written straight into a stack's database, as a page then finds them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support.users import User


@dataclass(frozen=True)
class Said:
    """One message."""

    role: str
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    generated_code: str | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)


def write_chat(
    stack: Stack,
    user: User,
    said: Sequence[Said],
    *,
    title: str = "New Chat",
    archived: bool = False,
) -> str:
    """Store a conversation as the database's superuser; return its id."""
    chat = str(uuid.uuid4())
    with psycopg.connect(stack.settings.db_url) as db:
        db.execute(
            "insert into conversations (id, user_id, title, archived_at)"
            " values (%s, %s, %s, case when %s then now() end)",
            (chat, user.id, title, archived),
        )
        with db.cursor() as cursor:
            cursor.executemany(
                "insert into messages"
                " (conversation_id, user_id, role, content, metadata, generated_code, parts)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        chat,
                        user.id,
                        each.role,
                        each.content,
                        Jsonb(each.metadata),
                        each.generated_code,
                        Jsonb(each.parts),
                    )
                    for each in said
                ],
            )
    return chat


def write_long_chat(stack: Stack, user: User, count: int) -> str:
    """Store a conversation of so many messages of different heights, past the triggers."""
    chat = write_chat(stack, user, [], title=f"{count} messages")
    with psycopg.connect(stack.settings.db_url) as db:
        db.execute("set local session_replication_role = replica")
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
            " select %s, %s, case when n %% 2 = 1 then 'user' else 'assistant' end,"
            " 'Message ' || n || repeat(' and what it says', n * 7919 %% 60)"
            " || case when n %% 10 = 0 then repeat(E'\\n\\n- a point', n %% 7) else '' end,"
            " n, now() - interval '1 day' + n * interval '1 second'"
            " from generate_series(1, %s) as n",
            (chat, user.id, count),
        )
        db.execute("update conversations set last_seq = %s where id = %s", (count, chat))
    return chat
