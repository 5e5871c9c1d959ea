"""Which tables hold somebody's words: the doctor looks at each, and an erasure empties it."""

import json
import uuid

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support import sql_fixtures
from tests.support.sql_calls import Caller, make_account

service = sql_fixtures.service

CANARY = "zebrafinch"
OURS = ("public", "private", "search")


def tables_that_say(db: psycopg.Connection, text: str) -> set[str]:
    """Return the tables of any schema that have a text in a row."""
    tables = db.execute(
        "select n.nspname, c.relname from pg_class as c join pg_namespace as n"
        " on n.oid = c.relnamespace where c.relkind in ('r', 'p') and not c.relispartition"
        " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
    ).fetchall()
    found = set()
    for schema, table in tables:
        query = sql.SQL("select exists (select 1 from {} as t where t::text like %s)").format(
            sql.Identifier(schema, table)
        )
        if db.execute(query, (f"%{text}%",)).fetchone() == (True,):
            found.add(f"{schema}.{table}")
    return found


def say_it_everywhere(service: Caller, user_id: str, text: str) -> None:
    """Write a text wherever a user and the AI can."""
    begun = service.begin(user_id, request=text, metadata={"own": text})
    chat = begun["conversation"]["id"]
    service.complete(begun, content=text, generated_code=text)
    service.call(
        "write_summary", user_id=user_id, conversation_id=chat, message_id=str(uuid.uuid4()),
        covers_to=2, content=text,
    )  # fmt: skip
    running = service.begin(user_id, conversation_id=chat, request=text)
    extension = {
        "user_id": user_id, "turn_id": running["turn"]["id"], "attempt": 1,
        "draft_offset": 0, "draft_tail": text,
    }  # fmt: skip
    service.call("extend_turns", extensions=Jsonb([extension]), lease_seconds=60)
    at = {"created_at": "2020-01-01T00:00:00Z", "metadata": "{}"}
    unfinished = {
        "place": 0, "first": 1, "is_last": False,
        "conversation": {
            **at, "title": text, "updated_at": "2020-01-01T00:00:00Z", "last_seq": 2,
            "imported": {"source": "list", "id": uuid.uuid4().hex},
        },
        "messages": [{**at, "role": "user", "content": text}],
    }  # fmt: skip
    service.connection.execute(
        "select public.take_import_part(%s, %s, 0, %s)",
        (user_id, str(uuid.uuid4()), json.dumps([unfinished])),
    )


@pytest.mark.promise("erasure", red="`end_imports` taken out of `erase_account`")
def test_an_erasure_empties_each_table_that_holds_words(
    service: Caller, db: psycopg.Connection
) -> None:
    """Those that the doctor reads, and no other, hold any of ours; the rest is Realtime's."""
    user_id, text = make_account(db), f"{CANARY} {uuid.uuid4().hex}"
    say_it_everywhere(service, user_id, text)
    word = text.split()[1]
    holding = tables_that_say(db, word)
    (read,) = db.execute(
        "select string_agg(prosrc, '') from pg_proc"
        " where pronamespace = 'private'::regnamespace and proname ~ '^(find|check)_'"
    ).fetchone() or ("",)
    ours = {table for table in holding if table.split(".")[0] in OURS}
    assert {table for table in ours if table not in read} == set()
    assert {"public.messages", "public.turns", "public.conversations"} <= ours
    service.call("erase_account", user_id=user_id, idempotency_key="erasure")
    assert tables_that_say(db, word) == set()


def test_nothing_of_a_deleted_account_is_left(service: Caller, db: psycopg.Connection) -> None:
    """Its rows go with it, counts of what it wrote too."""
    user_id = make_account(db)
    say_it_everywhere(service, user_id, CANARY)
    db.execute("delete from auth.users where id = %s", (user_id,))
    assert {table for table in tables_that_say(db, user_id) if table.split(".")[0] in OURS} == set()
