"""The SQL of imports: what a part does, again and after another, and what nobody can forge."""

import json
import uuid
from typing import Any

import psycopg
import pytest

from local import database
from tests.support.invariants import found_broken, repair
from tests.support.sql_calls import make_account

TIMES = [f"2020-01-01T00:00:{second:02}Z" for second in range(60)]


@pytest.fixture
def owner(scratch: psycopg.Connection) -> uuid.UUID:
    """A user."""
    return uuid.UUID(make_account(scratch))


def pieces_of(
    said: dict[str, str],
    *,
    place: int = 0,
    key: str = "one",
    source: str = "chatgpt",
    size: int = 100,
    times: list[str] = TIMES,
    **imported: Any,
) -> list[dict[str, Any]]:
    """Return the pieces of a conversation whose messages are these, by their ids."""
    rows = [
        {"role": "system", "content": content, "created_at": at, "after": before,
         "metadata": json.dumps({"imported": {"id": name}})}
        for (name, content), before, at in zip(said.items(), ["", *said], times, strict=False)
    ]  # fmt: skip
    header = {"title": "T", "metadata": "{}", "last_seq": len(rows), "created_at": times[0],
              "updated_at": rows[-1]["created_at"],
              "imported": {"source": source, "id": key, **imported}}  # fmt: skip
    return [
        {"place": place, "first": start + 1, "is_last": start + size >= len(rows),
         "conversation": header, "messages": rows[start : start + size]}
        for start in range(0, len(rows), size)
    ]  # fmt: skip


def take(
    db: psycopg.Connection,
    owner: object,
    pieces: list[dict[str, Any]] | None,
    *,
    import_id: uuid.UUID | None = None,
    part: int = 0,
    is_over: bool = False,
) -> Any:
    """Take a part of an import, a new one unless it is named; return what came of it."""
    row = db.execute(
        "select take_import_part(%s, %s, %s, %s, %s)",
        (owner, import_id or uuid.uuid4(), part, pieces and json.dumps(pieces), is_over),
    ).fetchone()
    assert row is not None
    return row[0]["outcome"]


def said_in(db: psycopg.Connection, conversation: str) -> list[str]:
    """Return what a conversation's messages say, by their places."""
    rows = db.execute(
        "select content from messages where conversation_id = %s order by seq", (conversation,)
    ).fetchall()
    return [content for (content,) in rows]


def branches_of(db: psycopg.Connection, conversation: str) -> tuple[int, list[Any]]:
    """Return which branch is active, and what each goes on from: its parent, from where, first."""
    active = db.execute("select active_branch from conversations where id = %s", (conversation,))
    rows = db.execute(
        "select branch, parent, fork_seq, first_seq from branches where conversation_id = %s"
        " order by branch",
        (conversation,),
    )
    (row,) = active.fetchall()
    return row[0], rows.fetchall()


def visible(db: psycopg.Connection, owner: uuid.UUID) -> list[str]:
    """Return the conversations that their owner sees."""
    claims = json.dumps({"sub": str(owner), "role": "authenticated"})
    db.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
    db.execute("set local role authenticated")
    rows = db.execute("select id::text from conversations order by created_at").fetchall()
    db.execute("reset role")
    return [conversation for (conversation,) in rows]


def broken(db: psycopg.Connection) -> Any:
    """Return what the doctor finds."""
    return found_broken(db)


AB = {"a": "A", "b": "B"}


@pytest.mark.promise("imports", red="`add_imported` takes the role as it comes")
def test_a_part_takes_conversations_in_order(scratch: psycopg.Connection, owner: uuid.UUID) -> None:
    """With the times they had, as a user's rows, and nothing that the doctor would find."""
    first, second = take(scratch, owner, pieces_of(AB) + pieces_of({"c": "C"}, place=1, key="two"))
    rows = scratch.execute(
        "select seq, role, is_summary, content, extract(year from created_at)::int from messages"
        " where conversation_id = %s order by seq",
        (first["id"],),
    ).fetchall()
    assert (first["is_taken"], second["is_taken"]) == (True, True)
    assert rows == [(1, "user", False, "A", 2020), (2, "user", False, "B", 2020)]
    assert len(visible(scratch, owner)) == 2
    assert broken(scratch) == []


@pytest.mark.promise("imports", red="no `deleting_since` before the last piece")
def test_a_conversation_of_several_parts_is_hidden_until_its_last(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """And would be removed an hour after the last part that came; what the doctor checks holds."""
    import_id = uuid.uuid4()
    pieces = pieces_of({name: name for name in "abcde"}, size=2)
    seen = []
    for part, piece in enumerate(pieces):
        (outcome,) = take(scratch, owner, [piece], import_id=import_id, part=part)
        seen.append((len(visible(scratch, owner)), broken(scratch)))
    row = scratch.execute(
        "select deleting_since, last_seq, (imported ->> 'lastSeq')::int from conversations"
    ).fetchone()
    assert seen == [(0, []), (0, []), (1, [])]
    assert said_in(scratch, outcome["id"]) == list("abcde")
    assert row == (None, 5, 5)


def test_taking_a_part_again_does_nothing_and_answers_the_same(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Also of a conversation that has grown, and asked for without what is in it."""
    take(scratch, owner, pieces_of(AB))
    import_id = uuid.uuid4()
    more = pieces_of({**AB, "c": "C"}) + pieces_of({"x": "X"}, place=1, key="two")
    asked = take(scratch, owner, None, import_id=import_id)
    outcomes = [take(scratch, owner, more, import_id=import_id) for _ in range(2)]
    repeated = take(scratch, owner, None, import_id=import_id)
    assert asked is None
    assert outcomes[0] == outcomes[1] == repeated
    assert [(one["is_taken"], one["appended"]) for one in repeated] == [(False, 1), (True, 0)]
    assert scratch.execute("select count(*) from messages").fetchone() == (4,)


def test_what_is_gone_meanwhile_is_taken_again(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Nobody is answered that they have what they don't; what is still there is known."""
    import_id = uuid.uuid4()
    pieces = pieces_of(AB) + pieces_of({"x": "X"}, place=1, key="two")
    first, _ = take(scratch, owner, pieces, import_id=import_id)
    scratch.execute("delete from conversations where id = %s", (first["id"],))
    again = take(scratch, owner, pieces, import_id=import_id)
    assert [one["is_taken"] for one in again] == [True, False]
    assert len(visible(scratch, owner)) == 2


def test_the_same_file_after_it_was_all_taken_is_another_import(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """It is known then, and not reported as taken."""
    import_id = uuid.uuid4()
    outcomes = [
        take(scratch, owner, pieces_of(AB), import_id=import_id, is_over=True)[0] for _ in range(2)
    ]
    assert [one["is_taken"] for one in outcomes] == [True, False]
    assert outcomes[1]["known_id"] == outcomes[0]["id"]


@pytest.mark.promise("imports", red="the parts before not counted")
@pytest.mark.parametrize("wrong", ["no part before", "erased", "another's"])
def test_a_part_whose_import_is_gone_is_refused(
    scratch: psycopg.Connection, owner: uuid.UUID, wrong: str
) -> None:
    """An erasure ends what is being imported, and nobody goes on with what is not theirs."""
    import_id = uuid.uuid4()
    first, second = pieces_of({**AB, "c": "C"}, size=2)
    if wrong != "no part before":
        take(scratch, owner, [first], import_id=import_id)
    if wrong == "erased":
        scratch.execute("select erase_account(%s, 'k')", (owner,))
        assert scratch.execute("select count(*) from conversations").fetchone() == (0,)
    who = make_account(scratch) if wrong == "another's" else owner
    with pytest.raises(psycopg.Error) as refused:
        take(scratch, who, [second], import_id=import_id, part=1)
    assert (refused.value.sqlstate, refused.value.diag.message_detail) == (
        "PT409", "import_incomplete")  # fmt: skip


@pytest.mark.parametrize("left_by", ["another import", "a removal"])
def test_a_hidden_conversation_makes_way(
    scratch: psycopg.Connection, owner: uuid.UUID, left_by: str
) -> None:
    """One that another import left unfinished, or that is being deleted; it is removed then."""
    first, second = pieces_of({**AB, "c": "C"}, size=2)
    import_id = uuid.uuid4()
    (left,) = take(scratch, owner, [first], import_id=import_id)
    if left_by == "a removal":
        take(scratch, owner, [second], import_id=import_id, part=1)
        scratch.execute("update conversations set deleting_since = now()")
    (taken,) = take(scratch, owner, pieces_of({**AB, "c": "C"}))
    row = scratch.execute(
        "select deleting_since <= now() from conversations where id = %s", (left["id"],)
    ).fetchone()
    assert (taken["is_taken"], visible(scratch, owner)) == (True, [taken["id"]])
    assert row == (True,)


def test_what_follows_an_import_takes_its_place_as_always(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """In the same transaction too: the flag is gone, and events are sent again."""
    (taken,) = take(scratch, owner, pieces_of(AB))
    row = scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'user', 'x')"
        " returning seq, created_at > now() - interval '1 minute'",
        (taken["id"], owner),
    ).fetchone()
    events = scratch.execute("select count(*) from realtime.messages").fetchone()
    assert (row, events) == ((3, True), (1,))


@pytest.mark.promise("imports")
def test_a_client_that_says_it_is_importing_gains_nothing(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """It can't name a place and a time, and a row without them has the next one."""
    row = scratch.execute(
        "insert into conversations (user_id) values (%s) returning id", (owner,)
    ).fetchone()
    assert row is not None
    scratch.execute("select set_config('request.jwt.claims', %s, true)",
                    (json.dumps({"sub": str(owner), "role": "authenticated"}),))  # fmt: skip
    scratch.execute("select set_config('message_persistence.is_importing', 'yes', true)")
    scratch.execute("set local role authenticated")
    insert = (
        "insert into messages (conversation_id, user_id, role, content{})"
        " values (%s, %s, 'user', 'x'{}) returning seq"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
        scratch.execute(
            insert.format(", seq, created_at", ", 5, '2020-01-01'").encode(), (row[0], owner)
        )
    assert scratch.execute(insert.format("", "").encode(), (row[0], owner)).fetchone() == (1,)


@pytest.mark.parametrize("size", [1, 2], ids=["two parts", "one part"])
@pytest.mark.parametrize(
    "times", [[TIMES[1], TIMES[0]], [TIMES[0], TIMES[0]]], ids=["backwards", "equal"]
)
def test_what_the_doctor_would_find_is_refused(
    scratch: psycopg.Connection, owner: uuid.UUID, times: list[str], size: int
) -> None:
    """Times that don't grow are an error of whoever sent them, also from a part to the next."""
    import_id, pieces = uuid.uuid4(), pieces_of(AB, times=times, size=size)
    for part, piece in enumerate(pieces[:-1]):
        take(scratch, owner, [piece], import_id=import_id, part=part)
    with pytest.raises(psycopg.Error) as refused:
        take(scratch, owner, pieces[-1:], import_id=import_id, part=len(pieces) - 1)
    assert (refused.value.sqlstate, refused.value.diag.message_detail) == (
        "PT400", "invalid_import")  # fmt: skip


def test_a_second_import_of_one_thing_names_the_first(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """And says whether it was the same; of another user's it knows nothing."""
    (known,) = take(scratch, owner, pieces_of(AB, source="list", checksum="a"))
    outcomes = [
        take(scratch, user, pieces_of(AB, source="list", checksum=checksum))[0]
        for user, checksum in ((owner, "a"), (owner, "b"), (make_account(scratch), "a"))
    ]
    known_as = [(o["is_taken"], o["known_id"] == known["id"], o["is_same"]) for o in outcomes]
    assert known_as == [(False, True, True), (False, True, False), (True, False, True)]


def test_what_was_left_for_an_hour_is_listed_found_and_swept(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Parts of a process that died don't stay; those of an import that goes on all do."""
    left, fresh = uuid.uuid4(), uuid.uuid4()
    take(scratch, owner, pieces_of(AB), import_id=left)
    pieces = pieces_of({**AB, "c": "C"}, size=2, key="two")
    take(scratch, owner, pieces[:1], import_id=fresh)
    scratch.execute("update private.import_parts set taken_at = now() - interval '61 minutes'")
    take(scratch, owner, pieces[1:], import_id=fresh, part=1)
    listed = scratch.execute("select list_removals()").fetchone()
    found = broken(scratch)
    repair(scratch, found)
    rows = scratch.execute("select distinct import_id from private.import_parts").fetchall()
    assert listed == ({"users": [str(owner)]},)
    assert found == [{"name": "import_left_behind", "user_id": str(owner), "id": str(left)}]
    assert rows == [(fresh,)]


def test_the_schedule_sweeps_what_imports_have_left(shaped_url: str) -> None:
    """In transactions of its own."""
    database.migrate(shaped_url)
    with psycopg.connect(shaped_url, autocommit=True) as db:
        take(db, make_account(db), pieces_of(AB))
        db.execute("update private.import_parts set taken_at = now() - interval '61 minutes'")
        db.execute("call private.sweep('sweep-removals', 100)")
        assert db.execute("select count(*) from private.import_parts").fetchone() == (0,)


@pytest.mark.promise("imports", red="the time of an appended message is the file's")
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_conversation_that_has_grown_is_brought_up_to_date(
    scratch: psycopg.Connection, owner: uuid.UUID, size: int
) -> None:
    """What is new comes last, on a path beside what was said here; what differs is counted."""

    def grow(said: dict[str, str]) -> tuple[int, int]:
        import_id, outcomes = uuid.uuid4(), []
        for part, piece in enumerate(pieces_of(said, size=size)):
            outcomes += take(scratch, owner, [piece], import_id=import_id, part=part)
        return (sum(o["appended"] for o in outcomes), sum(o["changed"] for o in outcomes))

    (first,) = take(scratch, owner, pieces_of(AB))
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " values (%s, %s, 'user', 'Here')",
        (first["id"], owner),
    )
    more = grow({"a": "A", "b": "Other", "c": "C", "d": "D"})
    again = grow({"a": "A", "b": "B", "c": "C", "d": "D"})
    fewer = grow({"a": "A", "d": "Other"})
    assert (more, again, fewer) == ((2, 1), (0, 0), (0, 3))
    assert said_in(scratch, first["id"]) == ["A", "B", "Here", "C", "D"]
    assert branches_of(scratch, first["id"]) == (0, [(1, 0, 2, 4)])
    assert broken(scratch) == []


@pytest.mark.promise("imports", red="`append_grown` takes a message once an entry")
def test_a_conversation_that_a_file_has_twice_grows_once(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """As in a zip of two months' exports: each new message is appended once, in a right order."""
    (first,) = take(scratch, owner, pieces_of({"a": "A"}))
    months = ({"a": "A", "b": "B", "c": "C"}, {"a": "A", "x": "X", "b": "B", "d": "D"})
    take(scratch, owner, pieces_of(months[0]) + pieces_of(months[1], place=1))
    assert said_in(scratch, first["id"]) == ["A", "B", "C", "X", "D"]
    assert broken(scratch) == []


def test_a_list_that_has_grown_is_another_one(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """It is known by its content or a key."""
    take(scratch, owner, pieces_of({"a": "A"}, source="list", checksum="c"))
    (more,) = take(scratch, owner, pieces_of(AB, source="list", checksum="c"))
    assert (more["is_taken"], more["appended"]) == (False, 0)


@pytest.mark.promise("imports", red="removals take whatever is hidden")
def test_what_an_import_left_hidden_is_removed_an_hour_later(
    scratch: psycopg.Connection, owner: uuid.UUID
) -> None:
    """Not before, since the import may go on; an erasure removes it at once."""
    pieces = pieces_of({**AB, "c": "C"}, size=2)
    take(scratch, owner, pieces[:1])
    early = scratch.execute("select continue_removal(%s), list_removals()", (owner,)).fetchone()
    kept = scratch.execute("select count(*) from messages").fetchone()
    scratch.execute("update conversations set deleting_since = now() - interval '1 second'")
    due = scratch.execute("select list_removals()").fetchone()
    scratch.execute("select continue_removal(%s)", (owner,))
    left = scratch.execute("select count(*) from conversations").fetchone()
    assert early == ({"more": False}, {"users": []})
    assert (kept, due, left) == ((2,), ({"users": [str(owner)]},), (0,))
    take(scratch, owner, pieces[:1])
    receipt = scratch.execute("select erase_account(%s, 'k')", (owner,)).fetchone()
    assert receipt is not None
    assert receipt[0]["remaining"] == 0
    assert scratch.execute("select count(*) from conversations").fetchone() == (0,)
