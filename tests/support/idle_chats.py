"""Conversations that nobody has written to for a while, and what became of them."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import psycopg.sql
import pytest

from local import database
from tests.support.postgres import Server
from tests.support.sql_calls import Caller, make_account, make_conversation

WHO_DELETES = ("owner", "service", "superuser", "account")


def idle(
    db: psycopg.Connection, user_id: str, days: float, *, messages: int = 2, **columns: Any
) -> str:
    """Insert a conversation that nobody has written to for so many days."""
    conversation = make_conversation(db, user_id, messages=messages)
    db.execute(
        "update conversations set updated_at = now() - %s * interval '1 day' where id = %s",
        (days, conversation),
    )
    for column, value in columns.items():
        db.execute(
            psycopg.sql.SQL("update conversations set {} = %s where id = %s").format(
                psycopg.sql.Identifier(column)
            ),
            (value, conversation),
        )
    return conversation


def state(db: psycopg.Connection, *conversations: str) -> list[str]:
    """Say of each conversation whether it is active, archived or gone."""
    rows: dict[str, str] = dict(
        db.execute(
            "select id::text, case when archived_at is null then 'active' else 'archived' end"
            " from conversations"
        ).fetchall()
    )
    return [rows.get(conversation, "gone") for conversation in conversations]


def remove_as(db: psycopg.Connection, who: str, conversation: str, owner: str) -> None:
    """Delete a conversation as one of WHO_DELETES, or its owner's whole account."""
    if who == "account":
        db.execute("delete from auth.users where id = %s", (owner,))
        return
    if who == "owner":
        claims = json.dumps({"sub": owner, "role": "authenticated"})
        db.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        db.execute("set local role authenticated")
    elif who == "service":
        db.execute("set local role service_role")
    db.execute("delete from conversations where id = %s", (conversation,))
    db.execute("reset role")


def as_if_long(db: psycopg.Connection, *conversations: str) -> None:
    """Let conversations say that they have 30,000 messages."""
    db.execute("update conversations set last_seq = 30000 where id = any(%s)", ([*conversations],))


@pytest.fixture
def service(scratch: psycopg.Connection) -> Caller:
    """The backend's role on an empty migrated database."""
    return Caller(scratch)


@pytest.fixture
def owner(scratch: psycopg.Connection) -> str:
    """A user with nothing."""
    return make_account(scratch)


@pytest.fixture
def database_url(bare_server: Server) -> Iterator[str]:
    """A migrated database for several connections."""
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url)
        yield url
