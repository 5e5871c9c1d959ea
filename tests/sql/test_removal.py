"""Deleting in steps: what is being deleted goes, and anybody ends it."""

import asyncio
import json
import re
from typing import Any

import psycopg
import pytest

from tests.support.hidden_chats import Hidden, long_conversation
from tests.support.idle_chats import as_if_long, idle, remove_as
from tests.support.sql_calls import Caller, act_as, make_account, make_conversation
from tests.support.waiting import until

pytest_plugins = ["tests.support.idle_chats", "tests.support.hidden_chats"]

# Who reads the table itself, and not the view of what is there: those that remove, or check.
READ_THE_TABLE = {
    "private.assign_message_place()",  # a message to one that is being deleted is refused there
    # its caller holds the conversation, read from the view
    "private.add_message(uuid,private.conversations,uuid,uuid,text,text,text,jsonb,jsonb,jsonb,text,text)",
    "private.being_deleted(uuid)",
    "private.remove_in_steps()",
    "private.remove_step(uuid,timestamp with time zone)",
    "delete_conversation(uuid,uuid)",
    "list_removals(integer)",
    "apply_retention(uuid,boolean,integer,uuid)",  # deletes
    "erase_account(uuid,text,text,integer)",  # deletes
    "private.listen_policy()",  # under row-level security
    # An import's, which hides what is not whole, and finds it again.
    "private.add_imported(uuid,jsonb,conversations)",
    "private.append_imported(uuid,jsonb,conversations,jsonb,jsonb)",
    "private.end_imports(uuid)",
    "take_import_part(uuid,uuid,integer,jsonb,boolean)",
    "private.take_piece(uuid,uuid,jsonb)",
    # The doctor's.
    "private.find_broken_messages(uuid[])",
    "private.find_broken_turns(uuid[],timestamp with time zone)",
    "private.lower_watermark(uuid,uuid)",
    "private.recount_conversation(uuid,uuid)",
    "private.recover_conversation(uuid,uuid)",
    "repair_invariants(uuid,jsonb)",
}


@pytest.mark.promise("erasure", red="a long conversation deleted as any other")
@pytest.mark.parametrize("who", ["owner", "service", "superuser", "account"])
def test_a_plain_delete_hides_what_is_long(
    scratch: psycopg.Connection, owner: str, who: str
) -> None:
    """Over the Data API too; the end of an account takes it whole."""
    made = long_conversation(scratch, owner)
    remove_as(scratch, who, made.conversation, owner)
    left = scratch.execute("select deleting_since is not null from conversations").fetchall()
    assert left == ([] if who == "account" else [(True,)])


def test_many_short_ones_are_bounded_together(scratch: psycopg.Connection, owner: str) -> None:
    """What one statement deletes at once has an end, whatever it names; all of it is hidden."""
    scratch.execute(
        "insert into conversations (user_id) select %s from generate_series(1, 2100)", (owner,)
    )
    scratch.execute("delete from conversations where user_id = %s", (owner,))
    left = scratch.execute(
        "select count(*), (select count(*) from private.conversations) from conversations"
    ).fetchone()
    assert left == (100, 0)


@pytest.mark.promise("erasure", red="a deletion that waits for the sweep alone")
def test_a_deletion_that_is_repeated_ends(hidden: Hidden) -> None:
    """Then nothing is left in any table, its keys stay used, and it is as unknown as any."""
    before = {
        str(row[0])
        for table in ("messages", "turns", "summaries")
        for row in hidden.db.execute(f"select id from {table}".encode())
    }
    again = hidden.as_owner("delete_conversation", **hidden.named())
    hidden.db.execute("reset role")
    left = [
        hidden.db.execute(f"select count(*) from {table}".encode()).fetchone()
        for table in (
            "conversations", "messages", "turns", "summaries", "search.documents",
        )
    ]  # fmt: skip
    events = hidden.db.execute("select string_agg(m::text, '') from realtime.messages as m")
    payloads = (events.fetchone() or ("",))[0]
    assert again == {"id": hidden.conversation, "more": False}
    assert left == [(0,)] * 5
    assert not any(row_id in payloads for row_id in {*before, hidden.conversation})
    for key in ("settled", "running"):
        with pytest.raises(psycopg.Error) as refused, hidden.db.transaction():
            Caller(hidden.db).begin(hidden.owner, idempotency_key=key)
        assert refused.value.diag.message_detail == "conversation_not_found"
    with pytest.raises(psycopg.Error) as unknown:
        hidden.as_owner("delete_conversation", **hidden.named())
    assert unknown.value.sqlstate == "PT404"


def test_nobody_goes_on_with_anothers_deletion(hidden: Hidden) -> None:
    """For another it is not there, as it never was."""
    other = make_account(hidden.db)
    act_as(hidden.db, other)
    hidden.db.execute("set local role authenticated")
    with pytest.raises(psycopg.Error) as refused:
        Caller(hidden.db, other).call("delete_conversation", **hidden.named())
    assert refused.value.sqlstate == "PT404"


def test_a_step_stops_when_its_time_is_over_and_the_next_goes_on(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Each takes some rows at least, so that repeating it always ends."""
    conversation = make_conversation(scratch, owner, messages=500)
    as_if_long(scratch, conversation)
    scratch.execute("delete from conversations where id = %s", (conversation,))
    seen = []
    for _ in range(4):
        row = scratch.execute(
            "select private.remove_step(%s, '-infinity'), (select count(*) from messages)", (owner,)
        ).fetchone()
        assert row is not None
        seen.append(row[0])
    counts = scratch.execute("select count(*) from messages").fetchone()
    assert seen == [True, True, True, False]
    assert counts == (0,)


def test_a_hold_that_comes_later_keeps_nothing_back(hidden: Hidden) -> None:
    """It was deleted before; what the hold finds it keeps."""
    service = Caller(hidden.db, hidden.owner)
    kept = make_conversation(hidden.db, hidden.owner)
    service.call("place_legal_hold", reason="case")
    service.call("delete_conversation", **hidden.named())
    rows = hidden.db.execute("select id::text from conversations").fetchall()
    assert rows == [(kept,)]


def test_what_is_being_deleted_may_be_imported_again(
    scratch: psycopg.Connection, owner: str
) -> None:
    """As what it is: a conversation that isn't there."""
    imported = json.dumps({"source": "chatgpt", "id": "one", "at": "2026-11-01T00:00:00Z"})
    first = idle(scratch, owner, 1, imported=imported)
    as_if_long(scratch, first)
    scratch.execute("delete from conversations where id = %s", (first,))
    idle(scratch, owner, 1, imported=imported)
    assert scratch.execute("select count(*) from private.conversations").fetchone() == (1,)


async def test_who_waited_for_a_deletion_finds_nothing(database_url: str) -> None:
    """A turn that queued for the row sees, once it has it, that it is being deleted."""
    with (
        psycopg.connect(database_url, autocommit=True) as db,
        psycopg.connect(database_url) as deleter,
        psycopg.connect(database_url, autocommit=True) as waiting,
    ):
        owner = make_account(db)
        conversation = make_conversation(db, owner)
        as_if_long(db, conversation)
        deleter.execute("delete from conversations where id = %s", (conversation,))
        begun = asyncio.create_task(
            asyncio.to_thread(Caller(waiting).begin, owner, conversation_id=conversation)
        )
        await until(
            lambda: db.execute(
                "select from pg_stat_activity where wait_event_type = 'Lock' and pid = %s",
                (waiting.info.backend_pid,),
            ).fetchall()
        )
        deleter.commit()
        with pytest.raises(psycopg.Error) as refused:
            await begun
        left = db.execute("select count(*) from turns").fetchone()
    assert refused.value.diag.message_detail == "conversation_not_found"
    assert left == (0,)


@pytest.mark.parametrize(
    ("step", "options"),
    [("erase_account", {"idempotency_key": "k"}), ("apply_retention", {"dry_run": False})],
)
def test_a_step_over_many_conversations_ends_in_time(
    scratch: psycopg.Connection, owner: str, step: str, options: dict[str, Any]
) -> None:
    """What a slow store takes seconds for is one conversation at least, and the rest is more."""
    service = Caller(scratch)
    service.call("set_retention_policy", user_id=owner, delete_after_days=1)
    for _ in range(3):
        idle(scratch, owner, 5)
    scratch.execute(
        "create function pg_temp.wait() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(2.1); return old; end';"
        "create trigger wait before delete on conversations"
        " for each row execute function pg_temp.wait()"
    )
    service.call(step, user_id=owner, **options)
    left = scratch.execute("select count(*) from conversations").fetchone()
    assert left == (2,)


def test_an_erasure_that_a_hold_stops_is_not_listed(
    scratch: psycopg.Connection, owner: str
) -> None:
    """Nobody can go on with it: those that wait would be behind it for ever."""
    service = Caller(scratch)
    as_if_long(scratch, make_conversation(scratch, owner, messages=2))
    idle(scratch, owner, 5)
    service.call("erase_account", user_id=owner, idempotency_key="k", most=1)
    scratch.execute("update conversations set deleting_since = null")
    before = service.call("list_removals")["users"]
    hold = service.call("place_legal_hold", user_id=owner, reason="case")
    held = service.call("list_removals")["users"]
    service.call("release_legal_hold", user_id=owner, hold_id=hold["id"])
    after = service.call("list_removals")["users"]
    assert (before, held, after) == ([owner], [], [owner])


def test_the_sweep_ends_what_a_dead_process_left(database_url: str) -> None:
    """Deletions and erasures of all users; one that can't be served keeps no other from it."""
    with psycopg.connect(database_url, autocommit=True) as db:
        service = Caller(db)
        deleting, erasing, refusing = (make_account(db) for _ in range(3))
        for owner in (deleting, erasing, refusing):
            as_if_long(db, *(make_conversation(db, owner, messages=2) for _ in range(3)))
        for owner in (deleting, refusing):
            db.execute("delete from conversations where user_id = %s", (owner,))
        begun = service.call(
            "erase_account", user_id=erasing, idempotency_key="key", requested_by="user", most=1
        )
        db.execute(
            "create function refuse() returns trigger language plpgsql as"
            " 'begin raise exception ''not this one''; end';"
            "create trigger refuse before delete on messages for each row"
            f" when (old.user_id = '{refusing}') execute function refuse()".encode()
        )
        listed = service.call("list_removals")["users"]
        db.execute("call private.sweep('sweep-removals', 50)")
        receipt = service.call("erase_account", user_id=erasing, idempotency_key="key")
        left = db.execute("select distinct user_id::text from conversations").fetchall()
    assert (begun["remaining"], begun["erased_at"]) == (3, None)
    assert set(listed) == {deleting, erasing, refusing}
    assert left == [(refusing,)]
    assert (receipt["conversations"], receipt["messages"]) == (3, 6)
    assert receipt["erased_at"] is not None


@pytest.mark.promise("erasure", red="`take_import_part` reads the table")
def test_every_function_reads_what_is_there(scratch: psycopg.Connection) -> None:
    """And not the table, but for those that remove: a new one is hidden from by itself."""
    assert readers_of_the_table(scratch) == READ_THE_TABLE


def test_negative_control_a_function_that_reads_the_table_is_seen(
    scratch: psycopg.Connection,
) -> None:
    """Planted, it is named."""
    before = readers_of_the_table(scratch)
    scratch.execute(
        "create function private.planted(user_id uuid) returns bigint language sql as"
        " 'select count(*) from public.conversations as c where c.user_id = planted.user_id'"
    )
    assert readers_of_the_table(scratch) - before == {"private.planted(uuid)"}


def readers_of_the_table(db: psycopg.Connection) -> set[str]:
    """Return the functions of ours that name public.conversations to read or change it."""
    bodies = db.execute(
        "select oid::regprocedure::text, prosrc from pg_proc"
        " where pronamespace::regnamespace::text in ('public', 'private', 'search')"
    )
    return {
        name
        for name, body in bodies
        if re.search(r"\b(from|join|update|using)\s+public\.conversations\b", body)
    }


@pytest.mark.promise("erasure")
def test_an_account_with_nothing_left_is_deleted_by_its_indexes(
    scratch: psycopg.Connection, service: Caller, owner: str
) -> None:
    """Ban, erase, delete: then Auth's ten seconds are enough, and no trace of the user is left."""
    service.complete(service.begin(owner))
    service.call("erase_account", user_id=owner, idempotency_key="key")
    unindexed = scratch.execute(
        "select c.conrelid::regclass::text from pg_constraint as c"
        " where c.confrelid = 'auth.users'::regclass and c.contype = 'f'"
        " and c.connamespace::regnamespace::text in ('public', 'private', 'search')"
        " and not exists (select from pg_index as i where i.indrelid = c.conrelid"
        " and i.indkey[0] = c.conkey[1] and i.indpred is null)"
    ).fetchall()
    scratch.execute("delete from auth.users where id = %s", (owner,))
    kept = scratch.execute("select count(*) from private.turn_usage").fetchone()
    assert unindexed == []
    assert kept == (0,)
