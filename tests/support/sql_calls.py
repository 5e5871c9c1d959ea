"""The SQL functions as the backend's role calls them, without the Data API in between."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
import psycopg.sql
from psycopg.types.json import Jsonb

from shared.models.context import rows_of


class Caller:
    """A connection that has the rights of one role, and calls SQL functions by name.

    A signed-in user's calls are about that user, unless they name another.
    """

    def __init__(self, connection: psycopg.Connection, user_id: str | None = None) -> None:
        self.connection = connection
        self.own = {} if user_id is None else {"user_id": user_id}

    def call(self, function: str, **arguments: Any) -> dict[str, Any]:
        """Call a function of public, or one named with its schema; return its jsonb value."""
        arguments = {**self.own, **arguments}
        values = [Jsonb(v) if isinstance(v, dict) else v for v in arguments.values()]
        row = self.connection.execute(_query(function, tuple(arguments)), values).fetchone()
        assert row is not None
        value: dict[str, Any] = row[0]
        if "history" in value:
            value["context"] = value["history"]
            value["history"] = rows_of(value["context"]) if value["context"] else []
        return value

    def begin(self, user_id: str, request: str = "Hello", **changed: Any) -> dict[str, Any]:
        """Call begin_turn, under a key of its own unless one is given."""
        return self.call(
            "begin_turn",
            user_id=user_id,
            request=request,
            **{
                "idempotency_key": uuid.uuid4().hex,
                "request_hash": "hash",
                "message_id": str(uuid.uuid4()),
            }
            | changed,
        )

    def complete(self, begun: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """Call complete_turn for what begin_turn answered; return that as it is then."""
        return begun | self.call(
            "complete_turn",
            **{
                "user_id": begun["turn"]["user_id"],
                "turn_id": begun["turn"]["id"],
                "attempt": begun["turn"]["attempt"],
                "message_id": str(uuid.uuid4()),
                "status": "completed",
                "content": "Reply.",
            }
            | changed,
        )


@lru_cache
def _query(function: str, names: tuple[str, ...]) -> bytes:
    """Write the call once, as the bundle does."""
    name = function if "." in function else f"public.{function}"
    arguments = [psycopg.sql.SQL("{} => %s").format(psycopg.sql.Identifier(n)) for n in names]
    call = psycopg.sql.SQL("select {}({})").format(
        psycopg.sql.Identifier(*name.split(".")), psycopg.sql.SQL(", ").join(arguments)
    )
    return call.as_bytes()


@contextmanager
def as_service(db_url: str, *, autocommit: bool = True) -> Iterator[Caller]:
    """Connect as the backend's role."""
    with psycopg.connect(db_url, autocommit=autocommit) as connection:
        connection.execute("set role service_role")
        yield Caller(connection)


@contextmanager
def as_user(db_url: str, user_id: str) -> Iterator[Caller]:
    """Connect as a signed-in user."""
    with psycopg.connect(db_url, autocommit=True) as connection:
        act_as(connection, user_id)
        connection.execute("set role authenticated")
        yield Caller(connection, user_id)


def act_as(connection: psycopg.Connection, user_id: str) -> None:
    """Let auth.uid() be this user, in the form that the local Auth asks for too."""
    claims = json.dumps({"sub": user_id, "role": "authenticated"})
    connection.execute(
        "select set_config('request.jwt.claims', %s, false),"
        " set_config('request.jwt.claim.sub', %s, false)",
        (claims, user_id),
    )


def make_account(db: psycopg.Connection) -> str:
    """Insert a user without a password, and return their id."""
    user_id = str(uuid.uuid4())
    db.execute(
        "insert into auth.users (id, aud, role, email, created_at, updated_at)"
        " values (%s, 'authenticated', 'authenticated', %s, now(), now())",
        (user_id, f"{user_id}@example.com"),
    )
    return user_id


def make_conversation(db: psycopg.Connection, user_id: str, *, messages: int = 0) -> str:
    """Insert a conversation with this many messages, 1, 2, 3 ..., and return its id."""
    conversation = str(uuid.uuid4())
    db.execute("insert into conversations (id, user_id) values (%s, %s)", (conversation, user_id))
    db.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', n::text from generate_series(1, %s) as n",
        (conversation, user_id, messages),
    )
    return conversation


def make_long_conversation(db: psycopg.Connection, user_id: str, *, messages: int) -> str:
    """Insert a conversation of questions and answers in one go, without events for each."""
    conversation = make_conversation(db, user_id)
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
            " select %s, %s, (array['assistant', 'user'])[1 + n %% 2], 'Message ' || n || '.', n,"
            " now() - (%s - n) * interval '1 second' from generate_series(1, %s) as n",
            (conversation, user_id, messages, messages),
        )
        db.execute(
            "update conversations set last_seq = %s, updated_at = now() where id = %s",
            (messages, conversation),
        )
    return conversation


def expire(db: psycopg.Connection, begun: dict[str, Any]) -> None:
    """Let a turn's lease be over."""
    db.execute(
        "update turns set lease_expires_at = now() - interval '1 second' where id = %s",
        (begun["turn"]["id"],),
    )


def places(db: psycopg.Connection, conversation: str) -> list[int]:
    """Return the seq of each message, in the order of created_at."""
    rows = db.execute(
        "select seq from messages where conversation_id = %s order by created_at, id",
        (conversation,),
    ).fetchall()
    return [seq for (seq,) in rows]


def assert_whole(db: psycopg.Connection, conversation: str) -> int:
    """Check that places have no gap and no tie and agree with time; return how many there are."""
    found = places(db, conversation)
    assert found == list(range(1, len(found) + 1))
    moments = db.execute(
        "select count(distinct m.created_at), max(m.created_at) = max(c.updated_at),"
        " max(c.last_seq)"
        " from messages as m join conversations as c on c.id = m.conversation_id"
        " where c.id = %s",
        (conversation,),
    ).fetchone()
    assert moments == (len(found), True, len(found))
    return len(found)
