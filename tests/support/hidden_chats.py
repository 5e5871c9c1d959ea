"""A long conversation that was deleted: hidden, and not yet empty."""

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.support.idle_chats import as_if_long
from tests.support.sql_calls import Caller, act_as


@dataclass
class Hidden:
    """A long conversation of a user's that was deleted, and has yet to be emptied."""

    db: psycopg.Connection
    owner: str
    conversation: str
    settled: dict[str, Any]
    running: dict[str, Any]

    def as_owner(self, function: str, **arguments: Any) -> Any:
        act_as(self.db, self.owner)
        self.db.execute("set local role authenticated")
        return Caller(self.db, self.owner).call(function, **arguments)

    def as_service(self, function: str, **arguments: Any) -> Any:
        self.db.execute("set local role service_role")
        return Caller(self.db, self.owner).call(function, **arguments)

    def count(self, query: str) -> int:
        """Return how many rows the owner reads over the Data API."""
        act_as(self.db, self.owner)
        self.db.execute("set local role authenticated")
        row = self.db.execute(f"select count(*) from {query}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def named(self) -> dict[str, Any]:
        return {"conversation_id": self.conversation}

    def analytics(self) -> dict[str, Any]:
        return {
            "starts_at": "2026-01-01T00:00:00Z",
            "ends_at": "2050-01-01T00:00:00Z",
            "bounds": '["2026-01-01T00:00:00Z", "2050-01-01T00:00:00Z"]',
        }


def long_conversation(db: psycopg.Connection, owner: str) -> Hidden:
    """Make one with a settled turn, a summary and a running turn, that is counted as long."""
    service = Caller(db)
    settled = service.begin(owner, "Find the zebra", idempotency_key="settled")
    conversation = settled["conversation"]["id"]
    service.complete(settled)
    db.execute("select write_summary(%s, %s, gen_random_uuid(), 2, 'S')", (owner, conversation))
    running = service.begin(owner, idempotency_key="running", conversation_id=conversation)
    as_if_long(db, conversation)
    return Hidden(db, owner, conversation, settled, running)


@pytest.fixture
def hidden(scratch: psycopg.Connection, owner: str) -> Hidden:
    """One that its owner has deleted."""
    made = long_conversation(scratch, owner)
    with scratch.transaction():
        answer = made.as_owner("delete_conversation", **made.named())
        scratch.execute("reset role")
    assert answer == {"id": made.conversation, "more": True}
    return made
