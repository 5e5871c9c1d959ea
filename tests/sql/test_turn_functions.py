"""begin_turn, resume_turn, complete_turn and what they keep, in SQL, as the backend's role."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from tests.support import partitions
from tests.support.sql_calls import (
    Caller,
    as_service,
    as_user,
    assert_whole,
    expire,
    make_account,
    make_conversation,
)

PATIENCE_SECONDS = 60

KEY: dict[str, Any] = {"idempotency_key": "my-key"}

stack = partitions.stack  # as it is, and in partitions


@pytest.fixture
def service(stack: Stack) -> Iterator[Caller]:
    """The backend."""
    with as_service(stack.settings.db_url) as caller:
        yield caller


@pytest.fixture
def owner(db: psycopg.Connection) -> str:
    """A user's id."""
    return make_account(db)


def _refused(call: Callable[[], Any]) -> tuple[str | None, str | None, str | None]:
    """Return the SQLSTATE, message and detail that a call raises."""
    with pytest.raises(psycopg.Error) as caught:
        call()
    diagnosis = caught.value.diag
    return diagnosis.sqlstate, diagnosis.message_primary, diagnosis.message_detail


def test_a_first_call_starts_a_turn(service: Caller, owner: str) -> None:
    """The conversation, the user's message and the running turn are there, without history."""
    message_id = str(uuid.uuid4())
    begun = service.begin(owner, "Hello there", message_id=message_id, metadata={"a": 1})
    assert begun["outcome"] == "started"
    assert (begun["turn"]["status"], begun["turn"]["attempt"]) == ("running", 1)
    assert begun["user_message"]["id"] == message_id
    assert begun["user_message"]["turn_id"] == begun["turn"]["id"]
    assert begun["user_message"]["content"] == "Hello there"
    assert begun["user_message"]["metadata"] == {"a": 1}
    assert begun["conversation"]["title"] == "Hello there"
    assert begun["conversation"]["user_id"] == owner
    assert begun["conversation"]["last_seq"] == 1
    assert (begun["reply"], begun["history"]) == (None, [])


def test_a_described_turn_hides_the_hash_and_the_draft(service: Caller, owner: str) -> None:
    """The fingerprint of the request stays in the database."""
    assert not {"request_hash", "draft"} & service.begin(owner)["turn"].keys()


def test_a_settled_turn_is_replayed(service: Caller, owner: str, db: psycopg.Connection) -> None:
    """The same key gives the stored rows, and stores nothing."""
    done = service.complete(service.begin(owner, **KEY))
    again = service.begin(owner, **KEY)
    assert again["outcome"] == "replayed"
    assert (again["reply"], again["user_message"]) == (done["reply"], done["user_message"])
    assert assert_whole(db, done["conversation"]["id"]) == 2


def test_the_same_key_under_a_live_lease_is_in_progress(service: Caller, owner: str) -> None:
    """A repeat finds the running turn, and neither takes it over nor adds a message."""
    begun = service.begin(owner, **KEY)
    again = service.begin(owner, **KEY)
    assert again["outcome"] == "in_progress"
    assert again["turn"] == begun["turn"] | {"replays": 1}
    assert again["conversation"]["last_seq"] == 1


def test_another_key_under_a_live_lease_is_in_progress(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """One conversation has one running turn: the other request gets that one, and is not stored."""
    begun = service.begin(owner)
    conversation = begun["conversation"]["id"]
    other = service.begin(owner, "Another", conversation_id=conversation)
    assert other["outcome"] == "in_progress"
    assert other["turn"]["id"] == begun["turn"]["id"]
    assert assert_whole(db, conversation) == 1


def test_an_expired_turn_is_taken_over_by_its_key(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The same turn goes on as a further attempt, under a new lease, with no second message."""
    begun = service.begin(owner, **KEY)
    expire(db, begun)
    taken = service.begin(owner, **KEY)
    assert taken["outcome"] == "taken_over"
    assert (taken["turn"]["id"], taken["turn"]["attempt"]) == (begun["turn"]["id"], 2)
    assert taken["user_message"] == begun["user_message"]
    assert service.begin(owner, **KEY)["outcome"] == "in_progress"


@pytest.mark.promise("fencing", red="`complete_turn` without `attempt`")
def test_a_late_worker_is_superseded_while_another_runs(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Its reply is refused, and the one that took over may still write its own."""
    begun = service.begin(owner, **KEY)
    expire(db, begun)
    taken = service.begin(owner, **KEY)
    late = service.complete(begun, content="Late.")
    assert (late["outcome"], late["reply"], late["turn"]["status"]) == (
        "superseded", None, "running",
    )  # fmt: skip
    done = service.complete(taken, content="In time.")
    assert (done["outcome"], done["reply"]["content"]) == ("completed", "In time.")


def test_a_late_worker_is_superseded_after_the_end(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """It is given the reply that stands, and writes nothing."""
    begun = service.begin(owner, **KEY)
    expire(db, begun)
    service.complete(service.begin(owner, **KEY), content="In time.")
    late = service.complete(begun, content="Late.")
    assert (late["outcome"], late["reply"]["content"]) == ("superseded", "In time.")
    assert assert_whole(db, begun["conversation"]["id"]) == 2


def test_a_worker_past_its_lease_that_nobody_took_over_may_still_write(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """An expired lease is only an offer: as long as nobody took it, the reply is welcome."""
    begun = service.begin(owner)
    expire(db, begun)
    assert service.complete(begun)["outcome"] == "completed"


def test_the_same_reply_twice_is_one_reply(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """A repeated complete_turn, whose answer was lost, gets the same answer."""
    begun, message_id = service.begin(owner), str(uuid.uuid4())
    first, second = (service.complete(begun, message_id=message_id) for _ in range(2))
    assert first == second
    assert first["outcome"] == "completed"
    assert assert_whole(db, begun["conversation"]["id"]) == 2


@pytest.mark.promise("one reply", red="`complete_turn` takes a settled turn")
def test_a_second_reply_is_superseded(service: Caller, owner: str, db: psycopg.Connection) -> None:
    """A terminal state is final, for the same attempt too."""
    begun = service.begin(owner)
    first = service.complete(begun)
    second = service.complete(begun, status="failed", content="No.")
    assert (second["outcome"], second["reply"]) == ("superseded", first["reply"])
    assert second["turn"]["status"] == "completed"


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


def test_a_key_with_another_request_is_refused(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """PT422 while it runs and after it has ended, and nothing is stored."""
    begun = service.begin(owner, **KEY)
    refused = [_refused(lambda: service.begin(owner, **KEY, request_hash="other"))]
    service.complete(begun)
    refused += [_refused(lambda: service.begin(owner, **KEY, request_hash="other"))]
    assert refused == [
        ("PT422", "This idempotency key was used for another request.", "idempotency_key_reused")
    ] * 2  # fmt: skip
    assert assert_whole(db, begun["conversation"]["id"]) == 2


def test_an_unknown_and_a_foreign_conversation_are_one_answer(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """PT404 in the same words, and no key is used up."""
    foreign = make_conversation(db, make_account(db))
    refused = {
        _refused(partial(service.begin, owner, **KEY, conversation_id=place))
        for place in (foreign, str(uuid.uuid4()))
    }
    assert refused == {("PT404", "Conversation not found.", "conversation_not_found")}
    assert service.begin(owner, **KEY)["outcome"] == "started"


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


@pytest.mark.parametrize(
    ("draft", "content"),
    [
        ("Half a sent", "Half a sent"),
        ("", "The reply was interrupted before it was complete."),
    ],
)
def test_an_expired_turn_of_another_key_is_interrupted_with_its_draft(
    service: Caller, owner: str, db: psycopg.Connection, draft: str, content: str
) -> None:
    """What the lost worker had written becomes the reply, before the new message."""
    lost = service.begin(owner, "First")
    conversation = lost["conversation"]["id"]
    db.execute("update turns set draft = %s where id = %s", (draft, lost["turn"]["id"]))
    expire(db, lost)
    begun = service.begin(owner, "Second", conversation_id=conversation)
    stored = db.execute(
        "select role, content from messages where conversation_id = %s order by seq",
        (conversation,),
    ).fetchall()
    settled = db.execute(
        "select status, draft, error ->> 'type' from turns where id = %s", (lost["turn"]["id"],)
    ).fetchone()
    assert begun["outcome"] == "started"
    assert stored == [("user", "First"), ("assistant", content), ("user", "Second")]
    assert settled == ("interrupted", "", "interrupted")
    assert [row["content"] for row in begun["history"]] == ["First", content]
    assert service.complete(lost)["outcome"] == "superseded"


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


@pytest.mark.promise("private keys")
def test_one_users_keys_are_nothing_to_another(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The same key with another request starts a turn of the other user's own."""
    mine = service.begin(owner, "Mine", **KEY)
    theirs = service.begin(make_account(db), "Theirs", **KEY, request_hash="other")
    assert theirs["outcome"] == "started"
    assert theirs["turn"]["id"] != mine["turn"]["id"]
    assert theirs["conversation"]["id"] != mine["conversation"]["id"]


def test_history_is_what_was_said_before_oldest_first(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """It ends before the request, is cut to the newest, and can be switched off."""
    conversation = make_conversation(db, owner, messages=5)
    histories = []
    for tokens in (1000, 14, 0):
        begun = service.begin(owner, conversation_id=conversation, history_tokens=tokens)
        histories.append([row["content"] for row in begun["history"]])
        service.complete(begun)
    assert histories == [["1", "2", "3", "4", "5"], ["Hello", "Reply."], []]


def test_deleting_a_conversation_removes_everything_of_it(
    stack: Stack, service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Turns, running and settled, and messages go with it, for the user and for the service."""
    for deleting in ("user", "service"):
        begun = service.complete(service.begin(owner))
        conversation = begun["conversation"]["id"]
        service.begin(owner, conversation_id=conversation)
        with as_user(stack.settings.db_url, owner) as user:
            caller = user if deleting == "user" else service
            assert caller.call(
                "delete_conversation", user_id=owner, conversation_id=conversation
            ) == {"id": conversation, "more": False}
        left = db.execute(
            "select (select count(*) from turns where conversation_id = %(id)s)"
            " + (select count(*) from messages where conversation_id = %(id)s)",
            {"id": conversation},
        ).fetchone()
        assert left == (0,)


def test_deleting_a_user_removes_everything_of_theirs(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The account's conversations go with it, and nobody else's."""
    service.begin(owner)
    other = service.begin(make_account(db))
    db.execute("delete from auth.users where id = %s", (owner,))
    left = db.execute("select count(*) from messages where user_id = %s", (owner,)).fetchone()
    assert left == (0,)
    assert assert_whole(db, other["conversation"]["id"]) == 1


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
