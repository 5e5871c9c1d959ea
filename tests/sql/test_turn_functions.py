"""begin_turn, resume_turn, complete_turn and what they keep, in SQL, as the backend's role."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from tests.support import partitions, sql_fixtures
from tests.support.sql_calls import (
    Caller,
    as_service,
    assert_whole,
)

PATIENCE_SECONDS = 60

KEY: dict[str, Any] = {"idempotency_key": "my-key"}

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner


def _refused(call: Callable[[], Any]) -> tuple[str | None, str | None, str | None]:
    """Return the SQLSTATE, message and detail that a call raises."""
    with pytest.raises(psycopg.Error) as caught:
        call()
    diagnosis = caught.value.diag
    return diagnosis.sqlstate, diagnosis.message_primary, diagnosis.message_detail


def test_a_described_turn_hides_the_hash_and_the_draft(service: Caller, owner: str) -> None:
    """The fingerprint of the request stays in the database."""
    assert not {"request_hash", "draft"} & service.begin(owner)["turn"].keys()


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "interrupted"])
def test_a_turn_ends_in_a_known_state_with_its_reply(
    service: Caller, owner: str, status: str
) -> None:
    """Each final state is stored together with a reply, code, metadata and error."""
    error = {"type": "t", "message": "m"}
    done = service.complete(
        service.begin(owner),
        status=status, generated_code="x = 1", metadata={"success": False}, error=error,
    )  # fmt: skip
    assert (done["turn"]["status"], done["turn"]["error"]) == (status, error)
    assert done["turn"]["id"] == done["reply"]["turn_id"]
    assert done["turn"]["finished_at"] is not None
    assert (done["reply"]["role"], done["reply"]["generated_code"]) == ("assistant", "x = 1")
    assert (done["reply"]["user_id"], done["reply"]["seq"]) == (owner, 2)


@pytest.mark.parametrize("status", ["running", "done", ""])
def test_a_turn_ends_in_no_other_state(
    service: Caller, owner: str, db: psycopg.Connection, status: str
) -> None:
    """An unknown state is refused whole: no reply without an end."""
    begun = service.begin(owner)
    assert _refused(lambda: service.complete(begun, status=status))[0] == "23514"
    assert assert_whole(db, begun["conversation"]["id"]) == 1
    assert service.complete(begun)["outcome"] == "completed"


@pytest.mark.parametrize("function", ["complete_turn", "resume_turn"])
def test_an_unknown_turn_is_not_found(service: Caller, owner: str, function: str) -> None:
    """PT404, also for a turn that was deleted with its conversation."""
    missing = {"turn": {"id": str(uuid.uuid4()), "user_id": owner, "attempt": 1}}
    calls = {
        "complete_turn": lambda: service.complete(missing),
        "resume_turn": lambda: service.call(
            "private.resume_turn",
            user_id=owner,
            idempotency_key="unknown",
            request_hash="hash",
            message_id=str(uuid.uuid4()),
            lease_seconds=1,
            history_tokens=1,
        ),
    }
    assert _refused(calls[function])[0] == "PT404"


def test_a_retry_that_meets_the_deletion_of_its_conversation_is_not_found(
    stack: Stack, service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """It waits for the deletion, and then says PT404 rather than nothing at all."""
    begun = service.begin(owner, **KEY)
    with (
        psycopg.connect(stack.settings.db_url) as deleting,
        as_service(stack.settings.db_url) as retrying,
        ThreadPoolExecutor() as pool,
    ):
        deleting.execute("delete from conversations where id = %s", (begun["conversation"]["id"],))
        retry = pool.submit(_refused, lambda: retrying.begin(owner, **KEY))
        _wait_until_blocked(db, retrying)
        deleting.commit()
        refused = retry.result(timeout=PATIENCE_SECONDS)
    assert refused == ("PT404", "Conversation not found.", "conversation_not_found")


@pytest.mark.promise("one reply")
def test_a_turn_has_an_end_exactly_when_it_is_settled_and_one_reply_at_most(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Neither the service nor a superuser can leave one without the other, or add a second."""
    begun = service.begin(owner)
    turn = begun["turn"]["id"]
    for change in ("status = 'completed'", "finished_at = now()"):
        with pytest.raises(psycopg.errors.CheckViolation):
            db.execute(f"update turns set {change} where id = %s".encode(), (turn,))
    done = service.complete(begun)
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, turn_id)"
            " values (%s, %s, 'assistant', 'Another', %s)",
            (done["conversation"]["id"], owner, turn),
        )
    assert assert_whole(db, done["conversation"]["id"]) == 2


def test_a_conversation_never_has_two_running_turns(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The index refuses what the functions never try."""
    begun = service.begin(owner)
    with pytest.raises(psycopg.errors.UniqueViolation, match=r"\(user_id, conversation_id\)"):
        db.execute(
            "insert into turns (conversation_id, user_id, idempotency_key, request_hash,"
            " lease_expires_at) values (%s, %s, 'k', 'h', now())",
            (begun["conversation"]["id"], owner),
        )


@pytest.mark.parametrize(
    ("request_text", "title"),
    [
        ("Hello", "Hello"),
        ("  two\n\nlines\tand   spaces ", "two lines and spaces"),
        ("\n\t\nfirst line after blank ones", "first line after blank ones"),
        ("", "New Chat"),
        (" \n\t ", "New Chat"),
        ("x" * 81, "x" * 80),
        ("\U0001f389" * 100, "\U0001f389" * 80),
        ("日本語で書いて", "日本語で書いて"),
        ("word " * 400_000, ("word " * 16).strip()),
    ],
    ids=["plain", "inner", "leading", "empty", "blank", "long", "astral", "cjk", "2 MB"],
)
def test_a_new_conversation_is_titled_from_its_request(
    service: Caller, owner: str, request_text: str, title: str
) -> None:
    """One line of at most 80 characters; the message itself is stored as it was sent."""
    begun = service.begin(owner, request_text)
    assert begun["conversation"]["title"] == title
    assert begun["user_message"]["content"] == request_text


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_no_or_too_many_characters_is_refused(
    service: Caller, owner: str, key: str
) -> None:
    """1 to 255 characters."""
    assert _refused(lambda: service.begin(owner, idempotency_key=key))[0] == "23514"


def _wait_until_blocked(db: psycopg.Connection, waiting: Caller) -> None:
    """Return once this connection waits for a lock."""
    pid = waiting.connection.info.backend_pid
    for _ in range(100_000):
        row = db.execute("select cardinality(pg_blocking_pids(%s))", (pid,)).fetchone()
        if row and row[0]:
            return
    pytest.fail("nothing was blocked")
