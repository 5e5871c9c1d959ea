"""A store of two users' conversations to be broken, and the doctor that looks at it."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.invariants import counts_of, found_broken, repair
from tests.support.sql_calls import as_service
from tests.support.stack import running_stack
from tests.support.users import User, make_user

CHECKS = {
    "turn_without_message",
    "settled_turn_without_reply",
    "turn_with_two_replies",
    "seq_gap",
    "seq_tie",
    "last_seq_wrong",
    "created_at_out_of_order",
    "key_used_twice",
    "row_of_another_owner",
    "turn_without_worker",
    "conversation_missing",
    "message_of_unknown_turn",
    "draft_left_behind",
    "import_left_behind",
    "summary_of_no_message",
    "words_of_no_message",
    "watermark_too_high",
    "content_not_of_parts",
    "branch_wrong",
}

# A turn that is really begun: its message gets its place from the trigger.
BEGIN_TURN = (
    "set session_replication_role = origin",
    "select begin_turn(user_id, 'begun', 'hash', 'And then?', gen_random_uuid(), id)"
    " from conversations where id = %(conversation)s",
    "set session_replication_role = replica",
)


@pytest.fixture(scope="module")
def patients_stack() -> Iterator[Stack]:
    """A stack of the module's own: damage is everybody's. A conftest has `own_stack` already."""
    with running_stack() as running:
        yield running


@pytest.fixture
def patients_db(patients_stack: Stack) -> Iterator[psycopg.Connection]:
    """Its database, with no constraint of another row's in the way."""
    with psycopg.connect(patients_stack.settings.db_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield connection


@dataclass
class Patient:
    """A user's conversation of four messages, and another user with one of two."""

    stack: Stack
    db: psycopg.Connection
    owner: User
    other: User
    names: dict[str, str] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        return self.names["conversation"]

    def plant(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement.encode(), self.names)

    def texts(self) -> Counter[str]:
        return Counter(row[0] for row in self.db.execute("select content from messages"))

    def broken(self, *, since: Any = None) -> dict[str, int]:
        """Return how much is broken, of what is."""
        return counts_of(found_broken(self.db, grace=120, since=since))

    def repair(self, *, grace: int = 120) -> set[str]:
        """Repair as the doctor does, without its command, and return the names of what it did."""
        names: set[str] = set()
        with as_service(self.stack.settings.db_url) as service:
            while mended := repair(
                service.connection, found_broken(service.connection, grace=grace)
            ):
                names |= mended
        return names

    async def doctor(self, *options: str, **changed: str) -> "Said":
        """Run the doctor with this stack's environment and nothing else."""
        return await run_doctor(*options, **{**self.stack.settings.environment(), **changed})


@dataclass(frozen=True)
class Said:
    """How a run of the doctor ended, and what it wrote."""

    code: int | None
    out: str
    err: str

    @property
    def repaired(self) -> dict[str, int]:
        """What was mended, of --repair --json."""
        repaired: dict[str, int] = json.loads(self.out)["repaired"]
        return repaired

    @property
    def broken(self) -> dict[str, int]:
        """What is broken, of --json."""
        return {row["name"]: row["broken"] for row in self.checks if row["broken"]}

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks, of --json."""
        checks: list[dict[str, Any]] = json.loads(self.out)["checks"]
        return checks


async def run_doctor(*options: str, **environment: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.doctor", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path("/"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    out, err = await process.communicate()
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def patient(patients_stack: Stack, patients_db: psycopg.Connection) -> AsyncIterator[Patient]:
    """Two users with a conversation each, in a store that holds nothing else."""
    patients_db.execute("truncate conversations, messages, turns cascade")
    made = Patient(
        patients_stack,
        patients_db,
        await make_user(patients_stack),
        await make_user(patients_stack),
    )
    with as_service(patients_stack.settings.db_url) as service:
        first = service.begin(made.owner.id, "One")
        service.complete(first)
        conversation = first["conversation"]["id"]
        second = service.begin(made.owner.id, "Two", conversation_id=conversation)
        service.complete(second)
        others = service.begin(made.other.id, "Three")
        service.complete(others)
        for user in (made.owner, made.other):
            service.call("index_messages", user_id=user.id)
    made.names = {
        "conversation": conversation,
        "first": first["turn"]["id"],
        "second": second["turn"]["id"],
        "other": made.other.id,
        "others": others["conversation"]["id"],
    }
    yield made
    await made.owner.functions.aclose()
    await made.other.functions.aclose()


def everything_in(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    return [
        row
        for table in ("conversations", "messages", "turns")
        for row in db.execute(f"select to_jsonb(t)::text from {table} as t order by id".encode())
    ]
