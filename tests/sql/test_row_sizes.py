"""What one row may hold: through each door the largest is taken, and one byte more is refused."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.stack import Stack
from shared.encoding.sizes import (
    MAX_ERROR_BYTES,
    MAX_GIVEN_METADATA_BYTES,
    MAX_METADATA_BYTES,
    MAX_ORIGIN_BYTES,
    MAX_TEXT_BYTES,
)
from tests.support import sql_fixtures
from tests.support.sql_calls import (
    Caller,
    as_user,
    make_conversation,
)

service, owner = sql_fixtures.service, sql_fixtures.owner

pytestmark = pytest.mark.promise("row sizes")

PAGE_BYTES = 8_000_000
LETTERS = {"plain": "x", "wide": "漢", "escaped": "\n", "control": "\x01"}

# Text and jsonb that nothing bounds by itself, and what does.
BOUNDED_OTHERWISE = {
    "import_parts.outcome": "ids and counts, of as many pieces as shared/imports/parts.py makes",
}


@pytest.fixture
def client(stack: Stack, owner: str) -> Iterator[Caller]:
    """That user, over the Data API."""
    with as_user(stack.settings.db_url, owner) as caller:
        yield caller


def of_size(size: int, letter: str = "x") -> str:
    """Return a text that takes so many bytes as JSON."""
    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    return letter * (size // each) + "x" * (size % each)


def metadata_of(size: int) -> Jsonb:
    """Return metadata of so many bytes as Postgres writes it."""
    return Jsonb({"a": "x" * (size - len('{"a": ""}'))})


def insert(caller: Caller, conversation: str, **columns: Any) -> None:
    """Insert a message as a client does."""
    names = ", ".join(columns)
    caller.connection.execute(
        f"insert into public.messages (conversation_id, role, {names})"
        f" values (%s, 'user', {', '.join(['%s'] * len(columns))})".encode(),
        (conversation, *columns.values()),
    )


@pytest.mark.promise("row sizes", red="messages_content_size taken out")
@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_a_clients_message_has_a_size(
    client: Caller, db: psycopg.Connection, owner: str, letter: str
) -> None:
    """The refusal names what is too large: that is all that the Data API says."""
    conversation = make_conversation(db, owner)
    insert(client, conversation, content=of_size(MAX_TEXT_BYTES, letter))
    with pytest.raises(psycopg.errors.CheckViolation, match="messages_content_size"):
        insert(client, conversation, content=of_size(MAX_TEXT_BYTES + 1, letter))


def test_a_clients_metadata_has_a_size(client: Caller, db: psycopg.Connection, owner: str) -> None:
    """A number of six bytes that is written out with a hundred thousand digits counts as those."""
    conversation = make_conversation(db, owner)
    insert(client, conversation, content="x", metadata=metadata_of(MAX_METADATA_BYTES))
    digits = "[" + ", ".join(["1e100000"] * 10) + "]"
    for larger in (metadata_of(MAX_METADATA_BYTES + 1), f'{{"a": {digits}}}'):
        with pytest.raises(psycopg.errors.CheckViolation, match="messages_metadata_size"):
            insert(client, conversation, content="x", metadata=larger)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into public.conversations (title, metadata) values ('T', %s)",
        "update public.conversations set metadata = %s where user_id = auth.uid()",
    ],
)
def test_a_conversations_metadata_has_a_size(
    client: Caller, db: psycopg.Connection, owner: str, statement: str
) -> None:
    """Whether it comes with the row or later; what is refused is said."""
    make_conversation(db, owner)
    client.connection.execute(statement.encode(), (metadata_of(MAX_GIVEN_METADATA_BYTES),))
    with pytest.raises(psycopg.errors.CheckViolation, match="larger than 500000 bytes") as refused:
        client.connection.execute(statement.encode(), (metadata_of(MAX_GIVEN_METADATA_BYTES + 1),))
    assert refused.value.diag.constraint_name == "conversations_metadata_size"


def test_what_says_where_a_conversation_is_from_has_a_size(
    db: psycopg.Connection, owner: str
) -> None:
    """Whoever writes it."""
    conversation = make_conversation(db, owner)
    update = "update conversations set imported = %s where id = %s"
    db.execute(update, (metadata_of(MAX_ORIGIN_BYTES), conversation))
    with pytest.raises(psycopg.errors.CheckViolation, match="larger than 250000 bytes"):
        db.execute(update, (metadata_of(MAX_ORIGIN_BYTES + 1), conversation))


def test_a_reply_has_a_size(service: Caller, owner: str) -> None:
    """Its text, its code, its metadata and its error, each by a constraint that says so."""
    begun = service.begin(owner)
    for column, value in {
        "content": of_size(MAX_TEXT_BYTES + 1),
        "generated_code": of_size(MAX_TEXT_BYTES + 1),
        "metadata": metadata_of(MAX_METADATA_BYTES + 1),
        "error": metadata_of(MAX_ERROR_BYTES + 1),
    }.items():
        with pytest.raises(psycopg.errors.CheckViolation, match=f"{column}_size"):
            service.complete(begun, **{column: value})
    assert service.complete(begun)["outcome"] == "completed"


@pytest.mark.promise("row sizes", red="the draft written whatever its size")
def test_a_draft_that_has_no_room_costs_nobody_their_lease(
    service: Caller, db: psycopg.Connection, owner: str
) -> None:
    """It stays as it was; the other turns of the same heartbeat are written."""
    turns = [service.begin(owner), service.begin(owner)]
    drafts = [of_size(MAX_TEXT_BYTES + 1, "\n"), "Fine."]
    sent = [
        {
            "user_id": owner, "turn_id": begun["turn"]["id"], "attempt": 1,
            "draft_offset": 0, "draft_tail": draft,
        }
        for begun, draft in zip(turns, drafts, strict=True)
    ]  # fmt: skip
    answer = service.call("extend_turns", extensions=Jsonb(sent), lease_seconds=60)
    assert [turn["is_ours"] for turn in answer["turns"]] == [True, True]
    stored: dict[str, str] = dict(
        db.execute("select id::text, draft from turns where user_id = %s", (owner,))
    )
    assert [stored[begun["turn"]["id"]] for begun in turns] == ["", "Fine."]


@pytest.mark.promise("row sizes", red="a page measured by octet_length(content)")
@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_a_page_is_eight_megabytes_whatever_is_in_it(
    service: Caller, db: psycopg.Connection, owner: str, letter: str
) -> None:
    """The largest rows, in the largest conversation, beside the largest draft."""
    text = of_size(MAX_TEXT_BYTES, letter)
    conversation = make_conversation(db, owner)
    db.execute(
        "update conversations set metadata = %s, imported = %s where id = %s",
        (metadata_of(MAX_GIVEN_METADATA_BYTES), metadata_of(249_000), conversation),
    )
    for size in (MAX_TEXT_BYTES, MAX_TEXT_BYTES, 10, 200_000, 10):
        part = of_size(size, letter)
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, generated_code,"
            " metadata) values (%s, %s, 'assistant', %s, %s, %s)",
            (conversation, owner, part, part, metadata_of(max(size // 2, 20))),
        )
    begun = service.begin(owner, conversation_id=conversation, request=text)
    db.execute("update turns set draft = %s where id = %s", (text, begun["turn"]["id"]))
    around = {"around": begun["user_message"]["id"]}
    for asked in (
        {},
        {"page_size": 1},
        {"after": 0},
        {"after": 1},
        {"before": 3},
        {"page_size": 200},
        around,
    ):
        page = service.call(
            "load_conversation", user_id=owner, conversation_id=conversation, **asked
        )
        assert page["messages"]
        assert len(json.dumps(page, ensure_ascii=False).encode()) <= PAGE_BYTES
    seen: list[int] = []
    while not seen or seen[-1] < 6:
        after = seen[-1] if seen else 0
        page = service.call(
            "load_conversation", user_id=owner, conversation_id=conversation, after=after
        )
        seen += [row["seq"] for row in page["messages"]]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_every_text_has_a_bound(db: psycopg.Connection) -> None:
    """A check or a trigger names each column of text or jsonb, or it says here what bounds it.

    What the search has is made of messages.
    """
    columns = db.execute(
        "select c.relname || '.' || a.attname, exists ("
        "    select 1 from pg_constraint as k"
        "    where k.conrelid = c.oid and k.contype = 'c' and a.attnum = any (k.conkey)"
        "      and pg_get_constraintdef(k.oid) ~ '(length|ANY|jsonb_path)'"
        " ) or exists ("
        "    select 1 from pg_trigger as t join pg_proc as f on f.oid = t.tgfoid"
        "    where t.tgrelid = c.oid and t.tgname like '%_storable' and t.tgenabled = 'A'"
        "      and f.prosrc ~ ('new\\.' || a.attname || '\\M')"
        " ) from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)"
        " and c.relkind = 'r'"
        " and not a.attisdropped"
        " and a.atttypid in ('text'::regtype, 'jsonb'::regtype, 'json'::regtype)"
    ).fetchall()
    assert {name for name, is_bounded in columns if not is_bounded} == BOUNDED_OTHERWISE.keys()


def test_a_message_that_is_refused_leaves_no_gap(
    client: Caller, db: psycopg.Connection, owner: str
) -> None:
    """The place that it would have had goes to the next one."""
    conversation = make_conversation(db, owner, messages=1)
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(client, conversation, content="x" * (MAX_TEXT_BYTES + 1))
    insert(client, conversation, content=str(uuid.uuid4()))
    rows = db.execute(
        "select seq from messages where conversation_id = %s order by seq", (conversation,)
    )
    assert [seq for (seq,) in rows] == [1, 2]
