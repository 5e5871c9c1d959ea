"""BYTES_PER_DAY in SQL: what counts, over which door, and when there is room again."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support import sql_fixtures
from tests.support.sql_calls import Caller, act_as, make_conversation

owner = sql_fixtures.owner

pytestmark = pytest.mark.promise("costs")

LIMIT = 10_000


@pytest.fixture
def chat(db: psycopg.Connection, owner: str) -> str:
    """A conversation of theirs."""
    return make_conversation(db, owner)


@pytest.fixture
def limited(stack: Stack, chat: str) -> Iterator[Caller]:
    """The backend in a transaction that is never committed: to all others there is no limit."""
    with psycopg.connect(stack.settings.db_url) as connection:
        caller = Caller(connection)
        connection.execute("set role service_role")
        caller.call("set_limits", bytes_per_day=LIMIT)
        yield caller
        connection.rollback()


def refused(caller: Caller, write: Any) -> psycopg.errors.Diagnostic | None:
    """Return what a write is refused with, and undo it then."""
    try:
        with caller.connection.transaction():
            write()
    except psycopg.Error as error:
        if error.sqlstate != "PT429":
            raise
        return error.diag
    return None


def piece_of(size: int) -> dict[str, Any]:
    """Return a conversation of one message, nearly as large as that in all."""
    at = {"created_at": "2020-01-01", "metadata": "{}"}
    return {
        "place": 0,
        "first": 1,
        "is_last": True,
        "conversation": {
            **at,
            "title": "T",
            "updated_at": "2020-01-01",
            "last_seq": 1,
            "imported": {"source": "list", "id": uuid.uuid4().hex},
        },
        "messages": [{**at, "role": "user", "content": "x" * (size - 320)}],
    }


def doors(caller: Caller, owner: str, chat: str) -> dict[str, Any]:
    """Return each way to write, as a call that takes a size."""

    def as_client(statement: str) -> Any:
        def write(size: int) -> None:
            act_as(caller.connection, owner)
            caller.connection.execute("set local role authenticated")
            caller.connection.execute(statement.encode(), {"chat": chat, "text": "x" * size})
            caller.connection.execute("set local role service_role")

        return write

    return {
        "begin_turn": lambda size: caller.begin(owner, request="x" * size),
        "message": as_client(
            "insert into public.messages (conversation_id, role, content)"
            " values (%(chat)s, 'user', %(text)s)"
        ),
        "metadata of a message": as_client(
            "insert into public.messages (conversation_id, role, content, metadata)"
            " values (%(chat)s, 'user', 'x', jsonb_build_object('a', %(text)s::text))"
        ),
        "conversation": as_client(
            "insert into public.conversations (metadata)"
            " values (jsonb_build_object('a', %(text)s::text))"
        ),
        "metadata of a conversation": as_client(
            "update public.conversations set metadata = jsonb_build_object('a', %(text)s::text)"
            " where id = %(chat)s"
        ),
        "import": lambda size: caller.connection.execute(
            "select public.take_import_part(%s, %s, 0, %s)",
            (owner, str(uuid.uuid4()), json.dumps([piece_of(size)])),
        ),
    }


DOORS = (
    "begin_turn", "message", "metadata of a message", "conversation", "metadata of a conversation",
    "import",
)  # fmt: skip


@pytest.mark.promise("costs", red="no trigger on conversations; `take_import_part` counts nothing")
@pytest.mark.parametrize("door", DOORS)
def test_what_is_written_counts_through_each_door(
    limited: Caller, owner: str, chat: str, door: str
) -> None:
    """What goes over the limit is refused and counts for nothing; what still fits is taken."""
    write = doors(limited, owner, chat)[door]
    assert refused(limited, lambda: write(6_000)) is None
    diag = refused(limited, lambda: write(6_000))
    assert diag is not None
    assert diag.message_detail == "too_many_bytes"
    sentence, _, rest = (diag.message_primary or "").partition(" Try again in ")
    assert sentence == "Too many bytes written this day."
    seconds = int(rest.removesuffix(" seconds."))
    assert 1_900 / LIMIT * 86_400 < seconds < 2_400 / LIMIT * 86_400
    assert refused(limited, lambda: write(3_000)) is None


def test_all_doors_share_one_limit(limited: Caller, owner: str, chat: str) -> None:
    """And no user shares one with another."""
    ways = doors(limited, owner, chat)
    for door in DOORS:
        ways[door](1_500)
    for door in DOORS:
        assert refused(limited, lambda write=ways[door]: write(2_000)) is not None


def test_there_is_room_again_as_the_day_goes_by(limited: Caller, owner: str, chat: str) -> None:
    """Half of it after half a day, all of it after one, and never more."""
    write = doors(limited, owner, chat)["begin_turn"]
    write(9_900)
    for hours, fits in ((12, 4_800), (240, 9_800)):
        limited.connection.execute("reset role")
        limited.connection.execute(
            "update private.bytes_written set counted_at = counted_at - make_interval(hours => %s)"
            " where user_id = %s",
            (hours, owner),
        )
        limited.connection.execute("set role service_role")
        assert refused(limited, lambda size=fits: write(size + 400)) is not None
        assert refused(limited, lambda size=fits: write(size)) is None


def test_what_the_ai_writes_is_not_the_users(limited: Caller, owner: str) -> None:
    """A reply is stored, however long; so are renaming and archiving within the rest."""
    begun = limited.begin(owner)
    done = limited.complete(begun, content="y" * 50_000, metadata=Jsonb({"a": "z" * 50_000}))
    assert done["outcome"] == "completed"
    assert refused(limited, lambda: limited.begin(owner, request="x" * 9_000)) is None


def test_a_repeated_request_counts_once(limited: Caller, owner: str) -> None:
    """A known key writes nothing."""
    for _ in range(5):
        limited.begin(
            owner, request="x" * 4_000, idempotency_key="k", message_id=str(uuid.UUID(int=1))
        )
    assert refused(limited, lambda: limited.begin(owner, request="x" * 5_000)) is None


@pytest.mark.parametrize("lifted", [None, 0])
def test_a_limit_is_lifted_and_none_is_counted(
    limited: Caller, owner: str, lifted: int | None
) -> None:
    """By nothing or zero; without a limit no row is kept."""
    limited.call("set_limits", bytes_per_day=lifted)
    assert refused(limited, lambda: limited.begin(owner, request="x" * 50_000)) is None
    limited.connection.execute("reset role")
    rows = limited.connection.execute(
        "select count(*) from private.bytes_written where user_id = %s", (owner,)
    )
    assert rows.fetchone() == (0,)
