"""The index behind the search: it follows what is stored, and what it lacks is found too."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
import pytest

from local.stack import Stack
from tests.support import sql_fixtures
from tests.support.sql_calls import (
    Caller,
    act_as,
    as_service,
    as_user,
    make_account,
    make_conversation,
)

service, owner = sql_fixtures.service, sql_fixtures.owner

SAY = (
    "insert into public.messages (conversation_id, user_id, role, content)"
    " values (%s, %s, 'user', %s)"
)


@pytest.fixture
def user(stack: Stack, owner: str) -> Iterator[Caller]:
    """The same, signed in."""
    with as_user(stack.settings.db_url, owner) as caller:
        yield caller


def found(user: Caller, q: str) -> list[tuple[str, int]]:
    """Return the place of each hit."""
    return [
        (hit["conversation_id"], hit["seq"]) for hit in user.call("search_messages", q=q)["hits"]
    ]


def watermarks(db: psycopg.Connection, owner: str) -> dict[str, int]:
    """Return the watermark of each conversation that has one."""
    rows = db.execute(
        "select conversation_id::text, indexed_seq from search.watermarks where user_id = %s",
        (owner,),
    )
    return dict(rows.fetchall())


def indexed(db: psycopg.Connection, owner: str) -> int:
    """Return how many of a user's messages are in the index."""
    row = db.execute(
        "select count(distinct message_id) from search.documents where user_id = %s", (owner,)
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.promise("search", red="what is above the watermark is not read")
def test_a_commit_leaves_the_index_alone_and_what_it_stored_is_found(
    db: psycopg.Connection, owner: str, user: Caller
) -> None:
    """One small row for all the messages of a conversation, found by words and by parts of them."""
    chat = make_conversation(db, owner)
    db.execute(SAY, (chat, owner, "more kumquats"))
    db.execute(SAY, (chat, owner, "a kumquat"))
    assert (indexed(db, owner), watermarks(db, owner)) == (0, {chat: 0})
    assert found(user, "kumquat") == [(chat, 2)]
    assert set(found(user, "umqua")) == {(chat, 1), (chat, 2)}


def test_a_search_says_the_same_before_and_after_the_index(
    db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """The same hits, ranks and snippets; afterwards no watermark is left."""
    chats = [make_conversation(db, owner) for _ in range(3)]
    for number in range(12):
        words = f"{'medlar ' * (1 + number % 4)}and {'東京都 ' * (number % 3)}{number}"
        db.execute(SAY, (chats[number % 3], owner, words))
    asked = ("medlar", "edla", "東京", '"medlar and"', "medlar -東京")
    before = [user.call("search_messages", q=q) for q in asked]
    step = service.call("index_messages", user_id=owner)
    assert [user.call("search_messages", q=q) for q in asked] == before
    assert all(answer["hits"] and not answer["incomplete"] for answer in before)
    assert (step, watermarks(db, owner)) == ({"indexed": 12, "more": False}, {})


@pytest.mark.promise("search", red="`incomplete` always false")
def test_more_than_a_search_reads_beside_the_index_is_said_and_indexed_in_steps(
    db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """What was said last is found whatever lies before it, and all of it once it is indexed."""
    busy, other = make_conversation(db, owner), make_conversation(db, owner)
    db.execute(SAY, (busy, owner, "a loquat"))
    db.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', 'filler ' || n from generate_series(1, 1200) as n",
        (busy, owner),
    )
    db.execute(SAY, (other, owner, "another loquat"))
    behind = user.call("search_messages", q="loquat")
    assert ([hit["conversation_id"] for hit in behind["hits"]], behind["incomplete"]) == (
        [other], True,
    )  # fmt: skip
    steps = [service.call("index_messages", user_id=owner)]
    while steps[-1]["more"]:
        steps.append(service.call("index_messages", user_id=owner))
    assert [step["indexed"] for step in steps] == [500, 500, 202]
    assert set(found(user, "loquat")) == {(busy, 1), (other, 1)}
    assert user.call("search_messages", q="loquat")["incomplete"] is False


def test_a_step_is_bounded_in_bytes_too(
    db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """One long message, or a megabyte of short ones."""
    chat = make_conversation(db, owner)
    for _ in range(3):
        db.execute(SAY, (chat, owner, "longan " * 100_000))
    steps = [service.call("index_messages", user_id=owner)["indexed"] for _ in range(2)]
    assert (steps, watermarks(db, owner)) == ([2, 1], {})


def test_messages_that_commit_in_another_order_than_their_times(
    stack: Stack, db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """One that was written first and committed after a later one was indexed is found."""
    late, early = make_conversation(db, owner), make_conversation(db, owner)
    with psycopg.connect(stack.settings.db_url) as writer:
        writer.execute(SAY.encode(), (late, owner, "a late tamarillo"))
        db.execute(SAY, (early, owner, "an early tamarillo"))
        assert service.call("index_messages", user_id=owner)["more"] is False
        assert found(user, "tamarillo") == [(early, 1)]
    assert set(found(user, "tamarillo")) == {(early, 1), (late, 1)}
    service.call("index_messages", user_id=owner)
    assert set(found(user, "tamarillo")) == {(early, 1), (late, 1)}


def test_imported_messages_are_found_whatever_their_times(
    db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """Old ones among newer ones that are indexed: said to be missing, or found."""
    chat, old = make_conversation(db, owner, messages=150), make_conversation(db, owner)
    service.call("index_messages", user_id=owner)
    with db.transaction():
        db.execute("set local message_persistence.is_importing = 'yes'")
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
            " values (%s, %s, 'user', 'an old rambutan', 1, '2001-01-01')",
            (old, owner),
        )
        db.execute("update conversations set last_seq = 1 where id = %s", (old,))
    assert user.call("search_messages", q="rambutan")["incomplete"] is True
    service.call("index_messages", user_id=owner)
    assert (found(user, "rambutan"), len(found(user, "150"))) == ([(old, 1)], 1)
    assert chat


@pytest.mark.promise("search", red="the watermark removed without the conversation's lock")
def test_a_watermark_stays_while_somebody_writes_to_its_conversation(
    stack: Stack, db: psycopg.Connection, owner: str, user: Caller, service: Caller
) -> None:
    """What that one commits afterwards is above it."""
    chat = make_conversation(db, owner, messages=2)
    with psycopg.connect(stack.settings.db_url) as writer:
        writer.execute(SAY.encode(), (chat, owner, "a carambola"))
        assert service.call("index_messages", user_id=owner) == {"indexed": 2, "more": True}
        assert watermarks(db, owner) == {chat: 2}
    assert found(user, "carambola") == [(chat, 3)]
    assert service.call("index_messages", user_id=owner) == {"indexed": 1, "more": False}
    assert found(user, "carambola") == [(chat, 3)]


def test_a_step_that_does_not_commit_changes_nothing(
    stack: Stack, db: psycopg.Connection, owner: str, user: Caller
) -> None:
    """As after a kill: all is found, and the next step indexes it."""
    chat = make_conversation(db, owner)
    db.execute(SAY, (chat, owner, "a feijoa"))
    with as_service(stack.settings.db_url, autocommit=False) as killed:
        assert killed.call("index_messages", user_id=owner)["indexed"] == 1
        killed.connection.rollback()
    assert (indexed(db, owner), found(user, "feijoa")) == (0, [(chat, 1)])


def test_a_step_waits_for_nobody(
    stack: Stack, db: psycopg.Connection, owner: str, service: Caller
) -> None:
    """Not for a deletion nor for another step; whoever deletes waits for it, and leaves nothing."""
    chat = make_conversation(db, owner, messages=3)
    with psycopg.connect(stack.settings.db_url) as deletion:
        deletion.execute("delete from messages where conversation_id = %s and seq = 2", (chat,))
        assert service.call("index_messages", user_id=owner) == {"indexed": 0, "more": True}
        deletion.rollback()
    with as_service(stack.settings.db_url, autocommit=False) as other:
        assert other.call("index_messages", user_id=owner)["indexed"] == 3
        assert service.call("index_messages", user_id=owner) == {"indexed": 0, "more": True}
        deleted = threading.Thread(
            target=service.call,
            args=("delete_conversation",),
            kwargs={"user_id": owner, "conversation_id": chat},
        )
        deleted.start()
        other.connection.commit()
        deleted.join()
    assert (indexed(db, owner), watermarks(db, owner)) == (0, {})


def test_writers_and_steps_at_once_lose_nothing(
    stack: Stack, db: psycopg.Connection, owner: str
) -> None:
    """Each message is found as soon as it is committed, and is in the index once at the end."""
    chats = [make_conversation(db, owner) for _ in range(3)]
    ended = threading.Event()
    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(write_and_find, stack, owner, chat) for chat in chats]
        indexers = [threads.submit(index_until, stack, owner, ended) for _ in range(2)]
        wait(writers)
        ended.set()
    for thread in writers + indexers:
        thread.result()
    index_until(stack, owner, ended)
    rows = db.execute("select count(*) from search.documents where user_id = %s", (owner,))
    assert (indexed(db, owner), rows.fetchone(), watermarks(db, owner)) == (75, (75,), {})


def write_and_find(stack: Stack, owner: str, chat: str) -> None:
    """Write 25 messages, and look for each at once."""
    with as_user(stack.settings.db_url, owner) as writer:
        for _ in range(25):
            word = f"w{uuid.uuid4().hex}"
            writer.connection.execute(SAY.encode(), (chat, owner, word))
            assert [place[0] for place in found(writer, word)] == [chat]


def index_until(stack: Stack, owner: str, ended: threading.Event) -> None:
    """Take steps of a few messages until that is over and nothing is left."""
    with as_service(stack.settings.db_url) as service:
        while service.call("index_messages", user_id=owner, most=7)["more"] or not ended.is_set():
            pass


@pytest.mark.promise("search")
def test_what_is_not_indexed_yet_is_the_users_alone(
    stack: Stack, db: psycopg.Connection, owner: str, service: Caller
) -> None:
    """Another finds none of it, and a step of theirs takes nothing of it."""
    chat, other = make_conversation(db, owner), make_account(db)
    db.execute(SAY, (chat, owner, "a secret soursop"))
    make_conversation(db, other, messages=1)
    with as_user(stack.settings.db_url, other) as stranger:
        assert (found(stranger, "soursop"), found(stranger, "oursop")) == ([], [])
    assert service.call("index_messages", user_id=other) == {"indexed": 1, "more": False}
    assert (indexed(db, owner), watermarks(db, owner)) == (0, {chat: 0})


def test_what_a_client_adds_in_bulk_is_found(
    db: psycopg.Connection, owner: str, user: Caller
) -> None:
    """Under row-level security, as themselves."""
    chat = make_conversation(db, owner)
    user.connection.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', 'jujube ' || n from generate_series(1, 50) as n",
        (chat, owner),
    )
    assert len(user.call("search_messages", q="jujube", page_size=100)["hits"]) == 50


def test_the_sweep_indexes_everybodys(db: psycopg.Connection, owner: str, service: Caller) -> None:
    """A listing names each user once, and the procedure takes them all on."""
    for _ in range(3):
        make_conversation(db, owner, messages=1)
    assert service.call("list_users_to_index")["users"].count(owner) == 1
    db.execute("call private.sweep('sweep-search-index', 30)")
    assert owner not in service.call("list_users_to_index")["users"]
    assert (indexed(db, owner), watermarks(db, owner)) == (3, {})


def test_negative_control_a_watermark_that_lies_hides_a_message(
    db: psycopg.Connection, owner: str, user: Caller
) -> None:
    """So it is the watermark that a search goes by; the doctor's tests find and mend it."""
    chat = make_conversation(db, owner)
    db.execute(SAY, (chat, owner, "a hidden salak"))
    db.execute("update search.watermarks set indexed_seq = 1 where user_id = %s", (owner,))
    act_as(db, owner)
    assert found(user, "salak") == []
