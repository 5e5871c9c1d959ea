"""Many callers of begin_turn and complete_turn at once, and a deletion among them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import pytest

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.sql_calls import (
    Caller,
    as_service,
    as_user,
    assert_whole,
    expire,
    make_conversation,
    places,
)

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner

THREADS = 24
ROUNDS = 5
PATIENCE_SECONDS = 60

KEY: dict[str, Any] = {"idempotency_key": "my-key"}

T = TypeVar("T")


@pytest.mark.promise("one key, one effect", red="`begin_turn` without `on conflict do nothing`")
def test_one_key_at_once_is_one_turn(stack: Stack, owner: str, db: psycopg.Connection) -> None:
    """Of 24 callers behind a barrier one starts it; the others get it, and leave nothing behind."""
    answers = _all_at_once(
        stack, [lambda service: service.begin(owner, **KEY) for _ in range(THREADS)]
    )
    outcomes = sorted(answer["outcome"] for answer in answers)
    assert outcomes == ["in_progress"] * (THREADS - 1) + ["started"]
    assert len({answer["turn"]["id"] for answer in answers}) == 1
    made = db.execute("select count(*) from conversations where user_id = %s", (owner,)).fetchone()
    assert made == (1,)
    assert assert_whole(db, answers[0]["conversation"]["id"]) == 1


def test_an_expired_turn_is_taken_over_once(
    stack: Stack, service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Of 24 callers at once one takes it over, and the attempt grows by one."""
    expire(db, service.begin(owner, **KEY))
    answers = _all_at_once(
        stack, [lambda service: service.begin(owner, **KEY) for _ in range(THREADS)]
    )
    outcomes = sorted(answer["outcome"] for answer in answers)
    assert outcomes == ["in_progress"] * (THREADS - 1) + ["taken_over"]
    assert {answer["turn"]["attempt"] for answer in answers} == {2}


@pytest.mark.promise("Postgres away")
@pytest.mark.promise("gapless order", red="`seq` read and written without the lock")
@pytest.mark.parametrize("conversations", [1, 3])
def test_mixed_writers_neither_deadlock_nor_leave_a_gap(
    stack: Stack, owner: str, db: psycopg.Connection, conversations: int
) -> None:
    """24 threads of turns, takeovers, repeats and direct inserts all end, on one and on several."""
    chats = [make_conversation(db, owner) for _ in range(conversations)]
    url = stack.settings.db_url

    def run_turns(number: int) -> Callable[[Caller], int]:
        def work(service: Caller) -> int:
            written = 0
            for round_number in range(ROUNDS):
                chat = chats[(number + round_number) % conversations]
                key = f"{number}-{round_number}"
                arguments = {"conversation_id": chat, "idempotency_key": key}
                # A lease of no length: the next writer interrupts the turn, or it is taken over.
                lease = 0 if number % 2 else 60
                begun = service.begin(owner, **arguments, lease_seconds=lease)
                if begun["outcome"] == "started":
                    service.begin(owner, **arguments, lease_seconds=60)
                    written += 1
                    service.complete(begun)
            return written

        return work

    def insert_directly(number: int) -> Callable[[Caller], int]:
        def work(_: Caller) -> int:
            with as_user(url, owner) as user:
                for round_number in range(ROUNDS):
                    chat = chats[(number * 2 + round_number) % conversations]
                    user.connection.execute(
                        "insert into messages (conversation_id, role, content)"
                        " values (%s, 'user', %s)",
                        (chat, f"{number}-{round_number}"),
                    )
            return ROUNDS

        return work

    work = [
        run_turns(number) if number % 3 else insert_directly(number) for number in range(THREADS)
    ]
    written = _all_at_once(stack, work)
    stored = sum(assert_whole(db, chat) for chat in chats)
    settled = db.execute(
        "select count(*) filter (where status <> 'running'), count(*) from turns"
        " where conversation_id = any(%s::uuid[])",
        (chats,),
    ).fetchone()
    assert settled is not None
    assert stored == sum(settled) + THREADS // 3 * ROUNDS
    assert settled[1] == sum(written) - THREADS // 3 * ROUNDS


@pytest.mark.promise("Postgres away")
def test_writers_and_a_deletion_neither_deadlock_nor_leave_a_row(
    stack: Stack, owner: str, db: psycopg.Connection
) -> None:
    """While 24 threads write, the conversation is deleted; all end, with PT404 at most."""
    chat = make_conversation(db, owner, messages=3)

    def write(service: Caller) -> str:
        for _ in range(ROUNDS):
            try:
                begun = service.begin(owner, conversation_id=chat, lease_seconds=0)
                service.complete(begun)
            except psycopg.Error as exc:
                return str(exc.diag.sqlstate)
        return "wrote"

    def delete(service: Caller) -> str:
        service.call("delete_conversation", user_id=owner, conversation_id=chat)
        return "deleted"

    ends = _all_at_once(stack, [write] * (THREADS - 1) + [delete])
    assert set(ends) <= {"PT404", "wrote", "deleted"}
    assert places(db, chat) == []


def _all_at_once(stack: Stack, work: Sequence[Callable[[Caller], T]]) -> list[T]:
    """Run each piece of work on a connection of its own, all let go together."""
    barrier = threading.Barrier(len(work), timeout=PATIENCE_SECONDS)

    def run(piece: Callable[[Caller], T]) -> T:
        with as_service(stack.settings.db_url) as service:
            barrier.wait()
            return piece(service)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work, timeout=PATIENCE_SECONDS))
