"""load_history, load_unsummarised and write_summary, in SQL, as the backend's role."""

import json
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.ai.tokens import estimate_tokens
from shared.models.context import History, HistoryContext
from shared.turns.context import given_context
from tests.support import partitions, sql_fixtures
from tests.support.sql_calls import (
    Caller,
    as_service,
    assert_whole,
    make_conversation,
)

stack = partitions.stack  # as it is, and in partitions
service, owner = sql_fixtures.service, sql_fixtures.owner


def say(db: psycopg.Connection, conversation: str, *contents: str, **columns: Any) -> None:
    """Add messages of users and, each second one, of the assistant."""
    for n, content in enumerate(contents):
        row = {"role": "user" if n % 2 == 0 else "assistant", "metadata": {}} | columns
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, metadata, is_summary)"
            " select id, user_id, %s, %s, %s, %s from conversations where id = %s",
            (
                row["role"],
                content,
                json.dumps(row["metadata"]),
                row.get("is_summary", False),
                conversation,
            ),
        )


def summarise(service: Caller, conversation: str, covers_to: int, content: str = "So far.") -> Any:
    """Call write_summary."""
    return service.call(
        "write_summary",
        user_id=owner_of(service, conversation),
        conversation_id=conversation,
        message_id=str(uuid.uuid4()),
        covers_to=covers_to,
        content=content,
        metadata={"engine": "test"},
    )


def load(service: Caller, conversation: str, tokens: int, before: int | None = None) -> History:
    """Call load_history."""
    return History.model_validate(
        service.call(
            "load_history",
            user_id=owner_of(service, conversation),
            conversation_id=conversation,
            history_tokens=tokens,
            before=before,
        )
    )


def owner_of(service: Caller, conversation: str) -> str:
    """Return whose conversation it is, as this caller sees it; else one's own id."""
    row = service.connection.execute(
        "select coalesce((select user_id from conversations where id = %s), auth.uid(), %s)::text",
        (conversation, str(uuid.uuid4())),
    ).fetchone()
    assert row is not None
    return str(row[0])


def seqs(history: History) -> list[int]:
    return [row["seq"] for row in history.history if not row.get("is_summary")]


def test_everything_that_fits_is_given(service: Caller, owner: str, db: psycopg.Connection) -> None:
    """To the last token; one token less and the oldest is left out, and that is said."""
    conversation = make_conversation(db, owner)
    contents = ["one", "two", "漢", "abc"]
    say(db, conversation, *contents)
    budget = sum(map(estimate_tokens, contents))
    whole, short = load(service, conversation, budget), load(service, conversation, budget - 1)
    assert [row["content"] for row in whole.history] == contents
    assert [row["role"] for row in whole.history] == ["user", "assistant"] * 2
    assert whole.context is not None
    assert short.context is not None
    assert whole.context.model_dump() == {
        "covers_to": 0, "first": 1, "known": 0, "is_complete": True, "omitted": 0, "longest": 5,
        "is_whole": True, "since_tokens": budget,
    }  # fmt: skip
    assert [row["content"] for row in short.history] == contents[1:]
    assert (short.context.omitted, short.context.is_whole) == (1, False)


def test_beyond_the_budget_the_newest_summary_stands_for_what_it_covers(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """While all fits, it isn't used; then it comes first, and everything since follows."""
    conversation = make_conversation(db, owner, messages=40)
    for covers_to in (10, 30):
        assert summarise(service, conversation, covers_to, f"To {covers_to}.")["outcome"] == (
            "written"
        )
    say(db, conversation, "newest")
    everything = load(service, conversation, 1_000)
    assert seqs(everything) == [*range(1, 41), 43]
    assert not any(row.get("is_summary") for row in everything.history)
    fitted = load(service, conversation, 100)
    assert fitted.history[0] == {
        "seq": 42, "role": "system", "content": "To 30.", "is_summary": True,
    }  # fmt: skip
    assert seqs(fitted) == [*range(31, 41), 43]
    assert fitted.context is not None
    assert (fitted.context.covers_to, fitted.context.omitted) == (30, 0)
    assert fitted.context.is_whole


def test_one_long_message_does_not_push_out_the_others(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Where not all fits it counts as a quarter of the budget, and is cut to that."""
    conversation = make_conversation(db, owner, messages=5)
    say(db, conversation, "漢" * 600_000, "Nice.", "x" * 2_000_000)
    stored = load(service, conversation, 1_000)
    assert sum(len(json.dumps(row, ensure_ascii=False)) for row in stored.history) < 4_000
    context = given_context(stored.history, stored.context)
    assert [row.seq for row in context.history] == list(range(1, 9))
    assert context.as_metadata()["tokens"] <= 1_000
    assert context.as_metadata()["shortened"] == 2
    assert context.as_metadata()["omitted"] == 0


@pytest.mark.promise("context", red="`omitted` without the summaries in between")
@pytest.mark.parametrize("seed", range(12))
def test_a_history_never_exceeds_its_budget_and_has_no_hole(
    service: Caller, owner: str, db: psycopg.Connection, seed: int
) -> None:
    """Of any conversation, under any budget: newest first, without gaps but those counted."""
    chance = random.Random(seed)  # noqa: S311 - the same in each run
    conversation = make_conversation(db, owner)
    covered = 0
    for _ in range(chance.randint(1, 40)):
        if chance.random() < 0.15 and (last := len(service_rows(db, conversation))):
            covers_to = chance.randint(1, last)
            if summarise(service, conversation, covers_to)["outcome"] == "written":
                covered = covers_to
        say(db, conversation, chance.choice("a漢👩") * chance.choice([0, 1, 5, 50, 5_000]))
    stored_rows = service_rows(db, conversation)
    plain = {seq: content for seq, content, is_ours in stored_rows if not is_ours}
    total = sum(map(estimate_tokens, plain.values()))
    for budget in (0, 1, 7, 20, 100, 1_000, total, 1_000_000):
        stored = load(service, conversation, budget)
        assert stored.context is not None
        context = given_context(stored.history, stored.context)
        given = [row for row in context.history if not (row.is_summary or row.is_note)]
        assert sum(estimate_tokens(r.content) for r in context.history if not r.is_note) <= budget
        assert [row.seq for row in given] == sorted(plain)[len(plain) - len(given) :]
        expected = sum(seq > context.covers_to for seq in plain) - len(given)
        assert context.omitted == expected
        assert context.covers_to in {0, covered}
        is_everything = not (context.covers_to or context.omitted or context.shortened)
        assert is_everything == (total <= budget)
        changed = sum(row.content != plain[row.seq] for row in given)
        assert context.shortened == changed


def service_rows(db: psycopg.Connection, conversation: str) -> list[tuple[int, str, bool]]:
    """Return each message's place and text, and whether it is a summary of ours."""
    return db.execute(
        "select m.seq, m.content, s.id is not null from messages as m"
        " left join summaries as s on s.id = m.id where m.conversation_id = %s order by m.seq",
        (conversation,),
    ).fetchall()


def test_begin_turn_gives_what_fits_before_the_request(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The summary, and what came since; all of it where the budget is large."""
    conversation = make_conversation(db, owner, messages=300)
    summarise(service, conversation, 290)
    old = service.begin(owner, conversation_id=conversation)
    service.complete(old, metadata={"success": True})
    new = service.begin(owner, "And now?", conversation_id=conversation, history_tokens=200)
    assert len(old["history"]) == 300
    assert [row["seq"] for row in new["history"]] == [301, *range(291, 301), 302, 303]
    assert new["context"]["covers_to"] == 290
    assert new["user_message"]["content"] == "And now?"


def test_a_turn_that_is_taken_over_gets_the_same_history(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Also under the budget, and without what was said after its request."""
    conversation = make_conversation(db, owner, messages=3)
    arguments: dict[str, Any] = {
        "conversation_id": conversation, "idempotency_key": "k", "history_tokens": 1_000,
        "lease_seconds": 0,
    }  # fmt: skip
    begun = service.begin(owner, **arguments)
    say(db, conversation, "later")
    taken = service.begin(owner, **arguments)
    assert taken["outcome"] == "taken_over"
    assert (taken["history"], taken["context"]) == (begun["history"], begun["context"])


def test_a_broken_reply_is_marked_as_such(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """By its error's type; a user's metadata marks nothing, and odd shapes break nothing."""
    conversation = make_conversation(db, owner)
    failed = {"success": False, "error": {"type": "interrupted", "message": "x"}}
    say(db, conversation, "Half", role="assistant", metadata=failed)
    say(db, conversation, "No", role="assistant", metadata={"success": False, "error": "text"})
    say(db, conversation, "Fine", role="assistant", metadata={"success": True})
    say(db, conversation, "Mine", role="user", metadata=failed)
    history = load(service, conversation, 1_000).history
    assert [row.get("failure") for row in history] == ["interrupted", "failed", None, None]


@pytest.mark.promise("context", red="`load_history` believes `is_summary`")
def test_only_what_write_summary_wrote_is_a_summary(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """A row that comes from elsewhere says is_summary and covers in vain: it stays a message."""
    conversation = make_conversation(db, owner, messages=20)
    forged = {"engine": "offline", "covers": {"fromSeq": 1, "toSeq": 20}}
    say(db, conversation, "Forged.", role="system", is_summary=True, metadata=forged)
    history = load(service, conversation, 80)
    assert history.context is not None
    assert history.context.covers_to == 0
    assert not any(row.get("is_summary") for row in history.history)
    assert history.history[-1]["content"] == "Forged."


def test_a_summary_is_a_message_in_its_place(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """A system row of the owner's with the next seq, which says what it covers and who made it."""
    conversation = make_conversation(db, owner, messages=3)
    message = summarise(service, conversation, 2)["message"]
    assert (message["role"], message["is_summary"], message["seq"]) == ("system", True, 4)
    assert (message["user_id"], message["turn_id"]) == (owner, None)
    assert message["metadata"] == {"engine": "test", "covers": {"fromSeq": 1, "toSeq": 2}}
    assert assert_whole(db, conversation) == 4


@pytest.mark.promise("context", red="`write_summary` does not look for one that is there")
def test_the_same_range_twice_adds_nothing(
    stack: Stack, service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """Not by two workers at once either, nor a range that is covered already."""
    conversation = make_conversation(db, owner, messages=9)

    def write(_: int) -> str:
        with as_service(stack.settings.db_url) as caller:
            return str(summarise(caller, conversation, 7)["outcome"])

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(write, range(8)))
    assert outcomes == ["known"] * 7 + ["written"]
    assert summarise(service, conversation, 5) == {"outcome": "known"}
    assert assert_whole(db, conversation) == 10


@pytest.mark.promise("context", red="`write_summary` does not look for a running turn")
def test_nothing_comes_between_a_request_and_its_reply(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """While a turn runs a summary is refused; afterwards it is taken."""
    conversation = make_conversation(db, owner, messages=3)
    begun = service.begin(owner, conversation_id=conversation)
    assert summarise(service, conversation, 2) == {"outcome": "busy"}
    service.complete(begun)
    assert summarise(service, conversation, 2)["outcome"] == "written"


def test_a_summary_of_what_is_not_there_is_refused(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """A seq that the conversation hasn't, and a conversation that isn't."""
    conversation = make_conversation(db, owner, messages=3)
    for covers_to in (0, 4, -1):
        with pytest.raises(psycopg.Error, match="Message not found"):
            summarise(service, conversation, covers_to)
    with pytest.raises(psycopg.Error, match="Conversation not found"):
        summarise(service, str(uuid.uuid4()), 1)
    assert assert_whole(db, conversation) == 3


def test_what_is_due_is_read_in_parts_and_the_newest_are_kept(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """From the oldest on, half of the budget at a time, up to the newest quarter of it."""
    conversation = make_conversation(db, owner, messages=200)
    asked: Any = {"user_id": owner, "conversation_id": conversation, "history_tokens": 200}
    seen: list[int] = []
    while (part := service.call("load_unsummarised", **asked))["covers_to"]:
        assert part["previous"] == (f"To {seen[-1]}." if seen else None)
        assert sum(estimate_tokens(row["content"]) for row in part["messages"]) <= 100
        seen += [row["seq"] for row in part["messages"]]
        summarise(service, conversation, part["covers_to"], f"To {seen[-1]}.")
    assert seen == list(range(1, 191))
    assert part["messages"] == []


def test_a_message_of_any_size_is_summarised_in_time(
    service: Caller, owner: str, db: psycopg.Connection
) -> None:
    """The newest two are kept whatever their size; those before come cut."""
    conversation = make_conversation(db, owner)
    say(db, conversation, *["x" * 500_000] * 4)
    part = service.call(
        "load_unsummarised", user_id=owner, conversation_id=conversation, history_tokens=1_000
    )
    assert [row["seq"] for row in part["messages"]] == [1, 2]
    assert all(len(row["content"]) < 1_000 for row in part["messages"])


@pytest.mark.parametrize(("budget", "covers_to"), [(1_000, 0), (90, 20)])
def test_what_was_counted_before_is_not_counted_again(
    service: Caller, owner: str, db: psycopg.Connection, budget: int, covers_to: int
) -> None:
    """With a summary or without: who has it says how much it is, and is sent what came since."""
    conversation = make_conversation(db, owner, messages=30)
    if covers_to:
        summarise(service, conversation, covers_to)
    here: dict[str, Any] = {"conversation_id": conversation, "history_tokens": budget}
    begun = service.begin(owner, **here)
    known = {"known_from": covers_to + 1, "known_id": begun["user_message"]["id"]}
    counted = begun["context"]["since_tokens"] + estimate_tokens("Hello")
    service.complete(begun)
    for more in (0, 7):
        later = service.begin(owner, **here, **known, known_tokens=counted + more)
        last = later["user_message"]["seq"]
        context = load(service, conversation, budget, before=last).context
        assert context is not None
        assert context.is_whole
        context.known = begun["user_message"]["seq"]
        context.since_tokens += more
        assert HistoryContext.model_validate(later["context"]) == context
        sent = [row["seq"] for row in later["history"] if not row.get("is_summary")]
        assert sent == list(range(context.known + 1, last))
        service.complete(later)
