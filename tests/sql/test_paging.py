"""load_conversation against a model that is plain lists: every page, at and beyond every edge."""

import json
import os
import random
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from tests.support.sql_calls import (
    Caller,
    as_service,
    as_user,
    expire,
    make_account,
    make_conversation,
    make_long_conversation,
)

SIZES = (0, 1, 3, 50, 51, 205)
LIMITS = (1, 2, 50, 200)
BIGINT = 2**63 - 1


def _edges(size: int) -> list[int]:
    """Return places at, around and far beyond both ends of a conversation, and in its middle."""
    near = {place + step for place in (0, 1, size // 2, size, size + 1) for step in (-1, 0, 1)}
    return sorted(near | {-BIGINT - 1, -300, size + 300, BIGINT})


def _expected(
    size: int, limit: int, *, before: int | None = None, after: int | None = None
) -> dict[str, Any]:
    """Return what a page should say, from nothing but a list of all places."""
    everything = list(range(1, size + 1))
    if after is not None:
        older = [seq for seq in everything if seq <= after]
        rest = [seq for seq in everything if seq > after]
        shown, newer = rest[:limit], rest[limit:]
    else:
        end = size + 1 if before is None else before
        newer = [seq for seq in everything if seq >= end]
        rest = [seq for seq in everything if seq < end]
        shown, older = rest[-limit:], rest[:-limit]
    return {"seqs": shown, "has_older": bool(older), "has_newer": bool(newer)}


def _page(user: Caller, conversation: str, **arguments: Any) -> dict[str, Any]:
    answer = user.call("load_conversation", conversation_id=conversation, **arguments)
    seqs = [row["seq"] for row in answer["messages"]]
    page = answer["page"]
    assert (page["oldest_seq"], page["newest_seq"]) == (
        (seqs[0], seqs[-1]) if seqs else (None, None)
    )
    assert answer["last_seq"] == answer["conversation"]["last_seq"]
    return {"seqs": seqs, "has_older": page["has_older"], "has_newer": page["has_newer"]}


@pytest.mark.promise("whole pages", red="a page one message too long")
@pytest.mark.parametrize("size", SIZES)
def test_a_page_is_what_the_model_says(stack: Stack, db: psycopg.Connection, size: int) -> None:
    """The newest page, and the ones before and after every edge, with exact has_older/has_newer."""
    owner = make_account(db)
    conversation = make_conversation(db, owner, messages=size)
    with as_user(stack.settings.db_url, owner) as user:
        for limit in LIMITS:
            assert _page(user, conversation, page_size=limit) == _expected(size, limit)
        for limit, direction, edge in product(LIMITS, ("before", "after"), _edges(size)):
            place = {direction: edge}
            found = _page(user, conversation, page_size=limit, **place)
            assert found == _expected(size, limit, **place), (limit, place)


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_page_around_a_message_is_full_and_has_it_in_the_middle(
    stack: Stack, db: psycopg.Connection, size: int
) -> None:
    """It is as long as it can be, without a gap, and balanced unless an end is in the way."""
    owner = make_account(db)
    conversation = make_conversation(db, owner, messages=size)
    ids: dict[int, uuid.UUID] = dict(
        db.execute(
            "select seq, id from messages where conversation_id = %s", (conversation,)
        ).fetchall()
    )
    placed = sorted({1, 2, size // 2 + 1, size - 1, size} & set(ids))
    with as_user(stack.settings.db_url, owner) as user:
        for limit, place in product(LIMITS, placed):
            page = _page(user, conversation, page_size=limit, around=ids[place])
            seqs = page["seqs"]
            assert seqs == list(range(seqs[0], seqs[0] + min(size, limit)))
            assert place in seqs
            assert page["has_older"] == (seqs[0] > 1)
            assert page["has_newer"] == (seqs[-1] < size)
            older, newer = place - seqs[0], seqs[-1] - place
            if page["has_older"] and page["has_newer"]:
                assert abs(older - newer) <= 1


@pytest.mark.parametrize(("limit", "shown"), [(-1, 1), (0, 1), (201, 200), (10**9, 200)])
def test_a_limit_out_of_bounds_is_brought_into_them(
    stack: Stack, db: psycopg.Connection, limit: int, shown: int
) -> None:
    """1 to 200, whatever is asked."""
    owner = make_account(db)
    conversation = make_conversation(db, owner, messages=205)
    with as_user(stack.settings.db_url, owner) as user:
        found = _page(user, conversation, page_size=limit)
    assert found["seqs"] == list(range(206 - shown, 206))


def test_a_page_between_two_places_ends_before_the_second(
    stack: Stack, db: psycopg.Connection
) -> None:
    """With both `after` and `before`, only what lies between is shown."""
    owner = make_account(db)
    conversation = make_conversation(db, owner, messages=10)
    with as_user(stack.settings.db_url, owner) as user:
        found = _page(user, conversation, after=3, before=6)
    assert found == {"seqs": [4, 5], "has_older": True, "has_newer": True}


def test_a_message_of_another_conversation_is_not_found(
    stack: Stack, db: psycopg.Connection
) -> None:
    """PT404 and one answer for a missing one, one's own elsewhere, and somebody else's."""
    owner = make_account(db)
    conversation = make_conversation(db, owner, messages=3)
    elsewhere = [
        make_conversation(db, owner, messages=1),
        make_conversation(db, make_account(db), messages=1),
    ]
    ids = [
        row[0]
        for row in db.execute(
            "select id from messages where conversation_id = any(%s::uuid[])", (elsewhere,)
        )
    ]
    said = set()
    with as_user(stack.settings.db_url, owner) as user:
        for around in [*ids, uuid.uuid4()]:
            with pytest.raises(psycopg.Error) as caught:
                _page(user, conversation, around=around)
            diagnosis = caught.value.diag
            said.add((diagnosis.sqlstate, diagnosis.message_primary, diagnosis.message_detail))
    assert said == {("PT404", "Message not found.", "message_not_found")}


def test_the_list_of_conversations_pages_without_loss_or_repeat(
    stack: Stack, db: psycopg.Connection
) -> None:
    """25 conversations, of which many were touched at the same moment, by pages of four."""
    owner = make_account(db)
    ids = [make_conversation(db, owner) for _ in range(25)]
    db.execute(
        "update conversations set updated_at = timestamptz '2026-11-01' + (n / 7) * interval '1 s'"
        " from unnest(%s::uuid[]) with ordinality as given (id, n)"
        " where given.id = conversations.id",
        (ids,),
    )
    with as_user(stack.settings.db_url, owner) as user:
        listed = [row for page in _pages(user, page_size=4) for row in page]
    order = [(row["updated_at"], row["id"]) for row in listed]
    assert sorted(row["id"] for row in listed) == sorted(ids)
    assert order == sorted(order, reverse=True)


@pytest.mark.promise("lists", red="conversations that moved are left out")
@pytest.mark.parametrize("archived", [False, True])
def test_a_list_neither_repeats_nor_skips_while_conversations_move(
    stack: Stack, db: psycopg.Connection, archived: bool
) -> None:
    """Between pages, some are written to and new ones begin.

    What nobody wrote to is seen once and in order. What moved is at the top when somebody looks
    again: both looks together, merged by id, hold every conversation.
    """
    owner = make_account(db)
    ids = [make_conversation(db, owner, messages=n % 3) for n in range(40)]
    choice = random.Random(20261122)  # noqa: S311
    moved, unmoved = set(choice.sample(ids, 20)), list(reversed(ids))
    db.execute("update conversations set archived_at = now() where %s and user_id = %s",
               (archived, owner))  # fmt: skip
    seen: list[str] = []
    with as_user(stack.settings.db_url, owner) as user:
        for page in _pages(user, page_size=4, archived=archived):
            seen += [row["id"] for row in page]
            for conversation in choice.sample(sorted(moved), 6):
                _write(db, conversation, owner, count=choice.randint(1, 3))
        again = [row["id"] for page in _pages(user, archived=archived) for row in page]
    assert [each for each in seen if each not in moved] == [
        each for each in unmoved if each not in moved
    ]
    assert len(seen) == len(set(seen))
    assert set(again) == set(ids)
    assert set(again[: len(moved)]) >= set(ids) - set(seen)


def test_a_running_turn_is_shown_with_the_page(stack: Stack, db: psycopg.Connection) -> None:
    """open_turn tells what a client needs to go on with, and whether anybody works on it."""
    owner = make_account(db)
    with (
        as_service(stack.settings.db_url) as service,
        as_user(stack.settings.db_url, owner) as user,
    ):
        begun = service.begin(owner)
        db.execute("update turns set draft = %s where id = %s", ("Hal\u00ed", begun["turn"]["id"]))
        chat = begun["conversation"]["id"]
        shown = user.call("load_conversation", conversation_id=chat)["open_turn"]
        expire(db, begun)
        lost = user.call("load_conversation", conversation_id=chat)["open_turn"]
        service.complete(begun)
        gone = user.call("load_conversation", conversation_id=chat)["open_turn"]
    assert (shown["turn_id"], shown["draft"], shown["offset"]) == (
        begun["turn"]["id"], "Hal\u00ed", 4,
    )  # fmt: skip
    assert "request_hash" not in json.dumps(shown)
    assert (shown["is_expired"], lost["is_expired"], gone) == (False, True, None)


MESSAGES = int(os.environ.get("PAGING_MESSAGES", "10000"))


@pytest.mark.promise("whole pages")
def test_paging_through_a_long_conversation_while_three_append_gives_exactly_the_union(
    stack: Stack, db: psycopg.Connection
) -> None:
    """Back from the newest page and then on from the start: no message twice, none left out."""
    owner = make_account(db)
    conversation = make_long_conversation(db, owner, messages=MESSAGES)
    done = threading.Event()

    def append() -> int:
        written = 0
        with psycopg.connect(stack.settings.db_url, autocommit=True) as own:
            while not done.is_set() or written < 10:
                _write(own, conversation, owner, count=1)
                written += 1
        return written

    with ThreadPoolExecutor(3) as pool, as_user(stack.settings.db_url, owner) as user:
        writers = [pool.submit(append) for _ in range(3)]
        try:
            page = _page(user, conversation, page_size=200)
            back = page["seqs"]
            while page["has_older"]:
                page = _page(user, conversation, page_size=200, before=back[0])
                back[:0] = page["seqs"]
            on: list[int] = []
            while len(on) < back[-1]:
                on += _page(user, conversation, page_size=200, after=len(on))["seqs"]
        finally:
            done.set()
        written = sum(writer.result() for writer in writers)
        while _page(user, conversation, page_size=200, after=len(on))["seqs"]:
            on += _page(user, conversation, page_size=200, after=len(on))["seqs"]
    assert back == list(range(1, len(back) + 1))
    assert on == list(range(1, MESSAGES + written + 1))
    assert len(back) >= MESSAGES


def _pages(user: Caller, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
    """Walk a list of conversations to its end."""
    page = user.call("list_conversations", **arguments)
    yield page["conversations"]
    while page["next"]:
        page = user.call("list_conversations", **arguments, **page["next"])
        yield page["conversations"]


def _write(db: psycopg.Connection, conversation: str, owner: str, *, count: int) -> None:
    db.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', 'new' from generate_series(1, %s)",
        (conversation, owner, count),
    )


@pytest.fixture(scope="module", params=["generated_code", "metadata"])
def heavy(stack: Stack, request: pytest.FixtureRequest) -> tuple[str, str, list[str]]:
    """A conversation of nine messages of three megabytes, one of five, and nine more.

    What is long takes little room where it is stored, since it is compressed there.
    """
    megabyte, largest = "x" * 999_900, "x" * 1_999_900
    long = {"content": largest, "generated_code": None, "metadata": "{}"}
    long[request.param] = json.dumps({"log": megabyte}) if request.param == "metadata" else megabyte
    longest = {
        "content": largest, "generated_code": largest, "metadata": json.dumps({"log": megabyte}),
    }  # fmt: skip
    rows = [long] * 9 + [longest] + [long] * 9
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        owner = make_account(db)
        conversation = make_conversation(db, owner)
        with db.transaction():
            # What is stored is not what is tested: no index for search, no events.
            db.execute("set local session_replication_role = replica")
            db.cursor().executemany(
                "insert into messages (conversation_id, user_id, role, content, generated_code,"
                " metadata, seq, created_at)"
                " values (%s, %s, 'user', %s, %s, %s, %s, now() + %s * interval '1 second')",
                [(conversation, owner, *row.values(), n, n) for n, row in enumerate(rows, 1)],
            )
            db.execute("update conversations set last_seq = 19 where id = %s", (conversation,))
        ids = db.execute(
            "select id::text from messages where conversation_id = %s order by seq", (conversation,)
        )
        return owner, conversation, [row[0] for row in ids]


@pytest.mark.promise("whole pages")
def test_pages_of_conversations_with_long_metadata_are_shorter_and_lose_none(stack: Stack) -> None:
    """Eight megabytes each; walked by what each page says comes next."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        owner = make_account(db)
        db.execute(
            "insert into conversations (user_id, metadata)"
            " select %s, jsonb_build_object('log', repeat('x', 499000))"
            " from generate_series(1, 40)",
            (owner,),
        )
    pages: list[list[str]] = []
    place: dict[str, Any] | None = {}
    with as_user(stack.settings.db_url, owner) as user:
        while place is not None:
            answer = user.call("list_conversations", **place)
            assert len(json.dumps(answer)) <= 8_000_000
            pages.append([row["id"] for row in answer["conversations"]])
            place = answer["next"]
    assert len({each for page in pages for each in page}) == 40
    assert [len(page) for page in pages] == [15, 15, 10]


@pytest.mark.promise("whole pages", red="metadata counted as it is stored, compressed")
@pytest.mark.parametrize("direction", ["before", "after"])
def test_pages_of_long_messages_are_shorter_and_lose_none(
    stack: Stack, heavy: tuple[str, str, list[str]], direction: str
) -> None:
    """Eight megabytes each, as sent; walked by what each page says of itself."""
    owner, conversation, _ = heavy
    pages: list[list[int]] = []
    place: dict[str, int] = {} if direction == "before" else {"after": 0}
    with as_user(stack.settings.db_url, owner) as user:
        has_more = True
        while has_more:
            answer = user.call("load_conversation", conversation_id=conversation, **place)
            assert len(json.dumps(answer)) <= 8_000_000
            pages.append([row["seq"] for row in answer["messages"]])
            page = answer["page"]
            has_more = page["has_older" if direction == "before" else "has_newer"]
            place = {direction: page["oldest_seq" if direction == "before" else "newest_seq"]}
    assert sorted(seq for page in pages for seq in page) == list(range(1, 20))
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 1]


def test_a_page_around_a_message_among_long_ones_holds_it(
    stack: Stack, heavy: tuple[str, str, list[str]]
) -> None:
    """With what is nearest to it, at the ends too, and by itself where it is that long."""
    owner, conversation, ids = heavy
    with as_user(stack.settings.db_url, owner) as user:
        for seq, shown in {1: [1, 2], 5: [4, 5], 10: [10], 19: [18, 19]}.items():
            answer = user.call(
                "load_conversation", conversation_id=conversation, around=ids[seq - 1]
            )
            assert [row["seq"] for row in answer["messages"]] == shown
            page = answer["page"]
            assert (page["has_older"], page["has_newer"]) == (shown[0] > 1, shown[-1] < 19)
