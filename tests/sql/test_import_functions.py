"""The SQL of exports and imports: what is staged, what is taken, and what nobody can forge."""

import json
import time
import uuid
from typing import Any

import psycopg
import pytest

from local import database
from tests.support.invariants import found_broken, repair
from tests.support.sql_calls import make_account

pytest_plugins = ["tests.support.scratch"]

TIMES = ["2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z"]


@pytest.fixture
def owner(scratch: psycopg.Connection) -> uuid.UUID:
    """A user."""
    row = scratch.execute(
        "insert into auth.users (id) values (gen_random_uuid()) returning id"
    ).fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


def staged(
    db: psycopg.Connection, owner: uuid.UUID, *, times: list[str] = TIMES, **imported: Any
) -> tuple[uuid.UUID, str]:
    """Stage a conversation of two messages in two parts; return the import's id and its own."""
    import_id, conversation = uuid.uuid4(), str(uuid.uuid4())
    header = {
        "id": conversation, "title": "T", "metadata": "{}", "last_seq": 2,
        "created_at": TIMES[0], "updated_at": times[-1],
        "imported": {"source": "list", "id": conversation, **imported},
    }  # fmt: skip
    for part, at in enumerate(times):
        message = {"conversation_id": conversation, "role": "system", "content": str(part),
                   "metadata": "{}", "created_at": at}  # fmt: skip
        db.execute(
            "select stage_import(%s, %s, %s, %s, %s)",
            (owner, import_id, part, json.dumps([] if part else [header]), json.dumps([message])),
        )
    return import_id, conversation


def commit(
    db: psycopg.Connection, import_id: uuid.UUID, owner: uuid.UUID, parts: int = 2
) -> list[dict[str, Any]]:
    """Commit an import and return what became of it."""
    row = db.execute("select commit_import(%s, %s, %s)", (owner, import_id, parts)).fetchone()
    assert row is not None
    outcome: list[dict[str, Any]] = row[0]["conversations"]
    return outcome


@pytest.mark.promise("imports", red="`commit_import` takes the role as it comes")
def test_a_commit_takes_all_parts_in_order_and_leaves_none(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """With the times they had, as a user's rows, and nothing that the doctor would find."""
    import_id, conversation = staged(scratch, owner)
    (outcome,) = commit(scratch, import_id, owner)
    rows = scratch.execute(
        "select seq, role, is_summary, content, extract(year from created_at)::int from messages"
        " where conversation_id = %s order by seq",
        (conversation,),
    ).fetchall()
    assert outcome["is_taken"] is True
    assert rows == [(1, "user", False, "0", 2020), (2, "user", False, "1", 2020)]
    assert scratch.execute("select count(*) from private.import_parts").fetchone() == (0,)
    assert found_broken(scratch) == []


def test_what_follows_an_import_takes_its_place_as_always(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """In the same transaction too: the flag is gone, and events are sent again."""
    import_id, conversation = staged(scratch, owner)
    commit(scratch, import_id, owner)
    row = scratch.execute(
        "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
        " values (%s, %s, 'user', 'x', 9, '2020-01-01')"
        " returning seq, created_at > now() - interval '1 minute'",
        (conversation, owner),
    ).fetchone()
    events = scratch.execute("select count(*) from realtime.messages").fetchone()
    assert (row, events) == ((3, True), (1,))


@pytest.mark.promise("imports")
@pytest.mark.parametrize("columns", ["", ", seq, created_at"])
def test_a_client_that_sets_the_flag_gains_nothing(
    scratch: psycopg.Connection, owner: uuid.UUID, columns: str
) -> None:
    """It can't name a place and a time, and without them a row is refused."""
    row = scratch.execute(
        "insert into conversations (user_id) values (%s) returning id", (owner,)
    ).fetchone()
    assert row is not None
    scratch.execute("select set_config('request.jwt.claims', %s, true)",
                    (json.dumps({"sub": str(owner), "role": "authenticated"}),))  # fmt: skip
    scratch.execute("select set_config('message_persistence.importing', 'on', true)")
    scratch.execute("set local role authenticated")
    values = ", 5, '2020-01-01'" if columns else ""
    with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.InsufficientPrivilege)):
        scratch.execute(
            f"insert into messages (conversation_id, user_id, role, content{columns})"
            f" values (%s, %s, 'user', 'x'{values})".encode(),
            (row[0], owner),
        )


@pytest.mark.parametrize(
    "times", [[TIMES[1], TIMES[0]], [TIMES[0], TIMES[0]]], ids=["backwards", "equal"]
)
def test_a_commit_refuses_what_the_doctor_would_find(
    scratch: psycopg.Connection, owner: uuid.UUID, times: list[str]
) -> None:
    """Times that don't grow are an error of whoever staged them."""
    import_id, _ = staged(scratch, owner, times=times)
    with pytest.raises(psycopg.Error) as refused:
        commit(scratch, import_id, owner)
    assert (refused.value.sqlstate, refused.value.diag.message_detail) == (
        "PT400", "invalid_import")  # fmt: skip


@pytest.mark.parametrize("wrong", ["parts", "owner", "import", "again"])
def test_a_commit_of_what_is_not_all_there_is_refused(
    scratch: psycopg.Connection, owner: uuid.UUID, wrong: str
) -> None:
    """Too few parts, another's, none, or those of an import that was committed."""
    import_id, _ = staged(scratch, owner)
    if wrong == "again":
        commit(scratch, import_id, owner)
    with pytest.raises(psycopg.Error) as refused:
        commit(
            scratch,
            uuid.uuid4() if wrong == "import" else import_id,
            uuid.uuid4() if wrong == "owner" else owner,
            parts=3 if wrong == "parts" else 2,
        )
    assert refused.value.diag.message_detail == "import_incomplete"


def test_a_second_import_of_one_thing_names_the_first(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """And says whether it was the same; of another user's it knows nothing."""
    first, known = staged(scratch, owner, id="one", checksum="a")
    commit(scratch, first, owner)
    other = scratch.execute(
        "insert into auth.users (id) values (gen_random_uuid()) returning id"
    ).fetchone()
    assert other is not None
    outcomes = []
    for user, checksum in ((owner, "a"), (owner, "b"), (other[0], "a")):
        import_id, _ = staged(scratch, user, id="one", checksum=checksum)
        outcomes += commit(scratch, import_id, user)
    known_as = [(o["is_taken"], o["known_id"] == known, o["is_same"]) for o in outcomes]
    assert known_as == [(False, True, True), (False, True, False), (True, False, True)]


def test_staging_is_repeatable(scratch: psycopg.Connection, owner: uuid.UUID) -> None:
    """A lost answer changes nothing."""
    import_id, _ = staged(scratch, owner)
    scratch.execute("select stage_import(%s, %s, 0, '[]', '[]')", (owner, import_id))
    rows = scratch.execute(
        "select import_id, jsonb_array_length(conversations)"
        " from private.import_parts order by part"
    ).fetchall()
    assert rows == [(import_id, 1), (import_id, 0)]
    discarded = scratch.execute("select discard_import(%s, %s)", (owner, import_id)).fetchone()
    assert discarded == ({"discarded": 2},)


def test_what_was_left_for_an_hour_is_listed_found_and_swept(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Parts of a process that died don't stay; those of one that works do."""
    left, _ = staged(scratch, owner)
    scratch.execute("update private.import_parts set staged_at = now() - interval '61 minutes'")
    fresh, _ = staged(scratch, owner)
    behind = {"user_id": str(owner), "import_id": str(left)}
    listed = scratch.execute("select list_imports_left_behind()").fetchone()
    found = found_broken(scratch)
    repair(scratch, found)
    rows = scratch.execute("select distinct import_id from private.import_parts").fetchall()
    assert listed == ({"imports": [behind]},)
    assert found == [{"name": "import_left_behind", "user_id": str(owner), "id": str(left)}]
    assert rows == [(fresh,)]


def test_the_schedule_sweeps_what_imports_have_left(shaped_url: str) -> None:
    """In transactions of its own."""
    database.migrate(shaped_url)
    with psycopg.connect(shaped_url, autocommit=True) as db:
        staged(db, uuid.UUID(make_account(db)))
        db.execute("update private.import_parts set staged_at = now() - interval '61 minutes'")
        db.execute("call private.sweep_imports()")
        assert db.execute("select count(*) from private.import_parts").fetchone() == (0,)


@pytest.mark.promise("exports", red="`export_messages` without `until`")
def test_a_page_ends_before_it_is_too_large(scratch: psycopg.Connection, owner: uuid.UUID) -> None:
    """By rows and by bytes; a message that is too large by itself is a page of its own."""
    row = scratch.execute(
        "insert into conversations (user_id) values (%s) returning id", (owner,)
    ).fetchone()
    assert row is not None
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', repeat('x', size) from unnest(array[10, 900, 5000, 10, 10])"
        " as size",
        (row[0], owner),
    )

    def page(after: int, page_size: int = 500, until: int | None = None) -> list[int]:
        found = scratch.execute(
            "select export_messages(%s, %s, %s, %s, %s, 1000)",
            (owner, row[0], after, until, page_size),
        ).fetchone()
        assert found is not None
        return [message["seq"] for message in found[0]["messages"]]

    assert [page(0), page(2), page(3), page(5)] == [[1, 2], [3], [4, 5], []]
    assert [page(0, 1), page(3, 500, 4)] == [[1], [4]]


def grown(
    db: psycopg.Connection, owner: uuid.UUID, *entries: dict[str, str], source: str = "chatgpt"
) -> dict[str, Any]:
    """Import a conversation whose messages are these, by their ids; return what became of it.

    A file may have it several times: what is returned is of the last.
    """
    import_id = uuid.uuid4()
    for part, said in enumerate(entries):
        conversation = str(uuid.uuid4())
        times = [f"2020-01-01T00:00:{second:02}Z" for second in range(len(said))]
        imported = {
            "source": source,
            "id": "one",
            **({"checksum": "c"} if source == "list" else {}),
        }
        header = {"id": conversation, "title": "T", "metadata": "{}", "last_seq": len(said),
                  "created_at": times[0], "updated_at": times[-1],
                  "imported": imported}  # fmt: skip
        messages = [
            {"conversation_id": conversation, "role": "user", "content": content,
             "created_at": at, "metadata": json.dumps({"imported": {"id": key}})}
            for (key, content), at in zip(said.items(), times, strict=True)
        ]  # fmt: skip
        db.execute(
            "select stage_import(%s, %s, %s, %s, %s)",
            (owner, import_id, part, json.dumps([header]), json.dumps(messages)),
        )
    return commit(db, import_id, owner, len(entries))[-1]


# 200 conversations of 50 messages.
STAGE_MANY = """
    with chats as (
        select gen_random_uuid() as id, n, '2020-01-01T00:00:00Z'::timestamptz as at
        from generate_series(1, 200) as n
    ),
    said as (
        select c.id, jsonb_build_object(
            'conversation_id', c.id, 'role', 'user', 'content', 'Text',
            'created_at', c.at + k * interval '1 second',
            'metadata', jsonb_build_object('imported', jsonb_build_object('id', k))::text
        ) as message
        from chats as c, generate_series(1, 50) as k
    )
    insert into private.import_parts (user_id, import_id, part, conversations, messages)
    select %s, %s, 0, jsonb_agg(jsonb_build_object(
        'id', c.id, 'title', 'T', 'metadata', '{}', 'last_seq', 50, 'created_at', c.at,
        'updated_at', c.at + interval '1 hour',
        'imported', jsonb_build_object('source', 'chatgpt', 'id', c.n)
    )), (select jsonb_agg(message order by id, message ->> 'created_at') from said)
    from chats as c
"""


@pytest.mark.promise("imports", red="the time of an appended message is the file's")
def test_a_conversation_that_has_grown_is_brought_up_to_date(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """What is new comes last, also behind what was said here; what was changed is counted."""
    first = grown(scratch, owner, {"a": "A", "b": "B"})
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'user', 'Here')",
        (first["id"], owner),
    )
    more = grown(scratch, owner, {"a": "A", "b": "Other", "c": "C", "d": "D"})
    again = grown(scratch, owner, {"a": "A", "b": "B", "c": "C", "d": "D"})
    said = scratch.execute(
        "select content from messages where conversation_id = %s order by created_at",
        (first["id"],),
    ).fetchall()
    assert (more["is_taken"], more["known_id"]) == (False, first["id"])
    assert [(one["appended"], one["changed"]) for one in (first, more, again)] == [
        (0, 0), (2, 1), (0, 0),
    ]  # fmt: skip
    assert [row[0] for row in said] == ["A", "B", "Here", "C", "D"]
    assert found_broken(scratch) == []


def test_an_import_of_what_is_here_already_takes_no_longer_than_the_first(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Of many conversations each is compared with itself alone."""
    seconds = []
    for _ in range(2):
        import_id = uuid.uuid4()
        scratch.execute(STAGE_MANY, (owner, import_id))
        began = time.monotonic()
        outcomes = commit(scratch, import_id, owner, 1)
        seconds.append(time.monotonic() - began)
    assert {(one["is_taken"], one["appended"]) for one in outcomes} == {(False, 0)}
    assert seconds[1] < 3 * seconds[0]


@pytest.mark.promise("imports", red="`append_grown` takes a message once an entry")
def test_a_conversation_that_a_file_has_twice_grows_once(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """As in a zip of two months' exports: each new message is appended once, in a right order."""
    first = grown(scratch, owner, {"a": "A"})
    months = ({"a": "A", "b": "B", "c": "C"}, {"a": "A", "x": "X", "b": "B", "d": "D"})
    grown(scratch, owner, *months)
    said = scratch.execute(
        "select content from messages where conversation_id = %s order by seq", (first["id"],)
    ).fetchall()
    assert [row[0] for row in said] == ["A", "B", "C", "X", "D"]
    assert found_broken(scratch) == []


def test_a_list_that_has_grown_is_another_one(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """It is known by its content or a key."""
    grown(scratch, owner, {"a": "A"}, source="list")
    more = grown(scratch, owner, {"a": "A", "b": "B"}, source="list")
    assert (more["is_taken"], more["appended"]) == (False, 0)
