"""A server with the schema, what benches store in it, and the floor: the least to be done."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg

from local import database
from tests.support.postgres import Server, running_server
from tests.support.sql_calls import Caller

PAGE = 50
TEXT = "A message of the length that most have: about a hundred bytes, some words, an end to them."
# So many tokens are a history of fifty such messages, by the estimate that begin_turn goes by.
HISTORY_OF_50 = PAGE * (len(TEXT) // 3 + 4)
DEFAULT_HISTORY = 100_000

FLOOR = """
create schema floor;
create table floor.messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid not null,
    role text not null,
    content text not null,
    metadata jsonb default '{}',
    created_at timestamptz default now()
);
create index on floor.messages (conversation_id, created_at);
"""
FLOOR_ROWS = """
insert into floor.messages (conversation_id, role, content, created_at)
select %s, 'user', %s, now() + n * interval '1 millisecond' from generate_series(1, 1000) as n
"""
FLOOR_INSERT = "insert into floor.messages (conversation_id, role, content) values (%s, %s, %s)"
FLOOR_SELECT = (
    "select * from floor.messages where conversation_id = %s order by created_at desc limit 50"
)
CONVERSATION = """
insert into public.conversations (id, user_id, last_seq, updated_at)
values (%(id)s, %(user)s, %(count)s, now())
"""
TURNS = """
insert into public.turns (id, user_id, conversation_id, idempotency_key, request_hash, status,
                          lease_expires_at, finished_at)
select md5(%(id)s::uuid::text || n)::uuid, %(user)s, %(id)s, md5(%(id)s::uuid::text || n), 'hash',
       'completed', now(), now()
from generate_series(1, %(count)s / 2) as n
"""
MESSAGES = """
insert into public.messages (conversation_id, user_id, role, content, seq, created_at, turn_id)
select %(id)s, %(user)s, (array['assistant', 'user'])[1 + n %% 2], %(text)s, n,
       now() - (%(count)s - n) * interval '1 second', md5(%(id)s::uuid::text || (n + 1) / 2)::uuid
from generate_series(1, %(count)s) as n
"""


class Floor:
    """What a chat that keeps nothing but its messages does, in a table of its own."""

    def __init__(self, db: psycopg.Connection) -> None:
        self._db = db
        self._conversation = uuid.uuid4()
        db.execute(FLOOR.encode())
        db.execute(FLOOR_ROWS, (self._conversation, TEXT))
        db.execute("vacuum analyze floor.messages")

    def turn(self) -> None:
        """Insert a message, read fifty, insert a reply: each its own commit."""
        self._db.execute(FLOOR_INSERT, (self._conversation, "user", TEXT))
        self.page()
        self._db.execute(FLOOR_INSERT, (self._conversation, "assistant", TEXT))

    def page(self) -> None:
        """Read the newest fifty messages."""
        self._db.execute(FLOOR_SELECT, (self._conversation,)).fetchall()


def send_as_on_hosted(db_url: str) -> None:
    """Let live events be sent as on a hosted project: a row each, which Realtime reads in the log.

    The local Realtime is left the id of each as well, in a table of its own.
    """
    with psycopg.connect(db_url, autocommit=True) as db:
        db.execute("alter table realtime.messages disable trigger note_undelivered")


@contextmanager
def server_with_schema(*, is_durable: bool = False) -> Iterator[Server]:
    """Run a server of its own that has the schema, and nothing else."""
    with running_server(is_durable=is_durable) as server:
        database.shape(server.url())
        database.migrate(server.url())
        send_as_on_hosted(server.url())
        yield server


def conversation_of(db: psycopg.Connection, user_id: str, messages: int) -> str:
    """Make a conversation of so many messages, an even number, in one go."""
    values = {"id": str(uuid.uuid4()), "user": user_id, "count": messages, "text": TEXT}
    db.execute("set session_replication_role = replica")
    for rows in (CONVERSATION, TURNS, MESSAGES):
        db.execute(rows.encode(), values)
    db.execute("reset session_replication_role")
    return values["id"]  # type: ignore[return-value]


def take_turn(
    caller: Caller,
    user_id: str,
    conversation_id: str | None,
    history_tokens: int = HISTORY_OF_50,
    **known: Any,
) -> dict[str, Any]:
    """Begin a turn and complete it, as the bundle does around the AI; return what began it."""
    begun = caller.begin(
        user_id, TEXT, conversation_id=conversation_id, history_tokens=history_tokens, **known
    )
    caller.complete(begun, content=TEXT, metadata={"success": True})
    return begun


class WarmProcess:
    """Takes turns as a process does that holds the history: it is sent what came after that."""

    def __init__(self, caller: Caller, user_id: str, conversation_id: str) -> None:
        self._turn = partial(take_turn, caller, user_id, conversation_id, DEFAULT_HISTORY)
        self._known: dict[str, Any] = {}

    def turn(self) -> None:
        """Take a turn with the default history."""
        begun = self._turn(**self._known)
        self._known = {
            "known_from": begun["context"]["first"],
            "known_id": begun["user_message"]["id"],
        }


def sign_in(db: psycopg.Connection, user_id: str) -> None:
    """Let auth.uid() be this user."""
    claims = json.dumps({"sub": str(user_id), "role": "authenticated"})
    db.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
