"""Makes a database of many users by SQL: python -m bench.population URL --messages 10000000.

Each user has ten conversations of a hundred messages: fifty turns with their replies, all settled
and in the search index. A thousand conversations go on at a time, so the rows of each lie among
those of others. Texts are drawn from a pool of twenty thousand, of twelve words each, some common
and most rare. Keys and indexes are made after the rows, as a restore does it.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

CONVERSATIONS_OF_EACH = 10
MESSAGES_OF_EACH = 100  # in a conversation
AT_A_TIME = 1000  # conversations
TEXTS = 20_000
FILLED = ["public.conversations", "public.turns", "public.messages", "search.documents"]

TOOLS = """
create schema bench;
create function bench.text_of(number bigint) returns text language sql immutable as $$
    select string_agg(
        s[1 + w % 20] || s[1 + w / 20 % 20] || s[1 + w / 400 % 20] || s[1 + w / 8000 % 20], ' '
    )
    from (values ('{ka,re,to,mi,lo,sen,dra,vi,pu,gor,tal,ne,shi,bu,fex,or,qua,zi,hem,wy}'::text[]))
        as syllables (s)
    cross join (
        -- As in a language, the n-th word is about n times as rare as the first.
        select power(20000, abs(hashint8extended(number, place) % 1000000) / 1e6)::integer as w
        from generate_series(1, 12) as place
    ) as words
$$;
-- It grows with time, as the ids do that the bundle makes.
create function bench.id_at(at timestamptz, kind integer, number bigint) returns uuid
language sql stable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(kind), 3, '0') || 'a' || lpad(to_hex(number), 15, '0'))::uuid
$$;
"""
POOL = """
create unlogged table bench.pool as
select n as number, text.content, w.words
from generate_series(0, %(texts)s - 1) as n
cross join lateral (select bench.text_of(n) as content offset 0) as text
cross join lateral search.read_words(text.content, null) as w
"""
USERS = """
create table bench.users as
select n as number, md5('bench user ' || n)::uuid as id
from generate_series(0, %(users)s - 1) as n
"""
CHATS = """
create table bench.chats as
select n as number, bench.id_at(began.at, 1, n) as id, u.id as user_id, began.at
from generate_series(0, %(chats)s - 1) as n
cross join lateral (
    select date_trunc('second', now()) - interval '5 days' + n / %(at_a_time)s * interval '1 hour'
        + n %% %(at_a_time)s * interval '1 microsecond' as at
) as began
join bench.users as u on u.number = n %% %(users)s
"""
# Row n, from the first that was written to the last: which conversation's, and its place there.
ROWS = """
create view bench.rows as
select chat.id as conversation_id, chat.user_id, place.seq, n,
       chat.at + place.seq * interval '30 seconds' as at,
       bench.id_at(chat.at, 2, chat.number * 1000 + (place.seq + 1) / 2) as turn_id,
       bench.id_at(chat.at, 3, chat.number * 1000 + place.seq) as message_id
from generate_series(0::bigint, {messages} - 1) as n
cross join lateral (
    select n / ({each} * {at_a_time}) * {at_a_time} + n % {at_a_time} as chat_number,
           n / {at_a_time} % {each} + 1 as seq
) as place
join bench.chats as chat on chat.number = place.chat_number
"""
INDEX_TOOLS = """
alter table bench.pool add primary key (number);
alter table bench.chats add primary key (number);
analyze bench.pool, bench.users, bench.chats;
insert into auth.users (id) select id from bench.users;
"""
FILL = {
    "conversations": """
insert into public.conversations (id, user_id, title, last_seq, created_at, updated_at)
select id, user_id, 'Chat ' || number, %(each)s, at, at + %(each)s * interval '30 seconds'
from bench.chats
""",
    "turns": """
insert into public.turns
    (id, conversation_id, user_id, idempotency_key, request_hash, status, lease_expires_at,
     started_at, finished_at)
select turn_id, conversation_id, user_id, turn_id::text, md5(n::text), 'completed',
       at + interval '26 seconds', at, at + interval '20 seconds'
from bench.rows
where seq %% 2 = 1
""",
    "messages": """
insert into public.messages
    (id, conversation_id, user_id, role, content, metadata, seq, created_at, turn_id)
select r.message_id, r.conversation_id, r.user_id,
       case r.seq %% 2 when 1 then 'user' else 'assistant' end, p.content,
       case r.seq %% 2 when 1 then '{"projectId": null}'::jsonb
           else '{"success": true, "duration": 20, "intent": "chat", "filesGenerated": 0}' end,
       r.seq, r.at, r.turn_id
from bench.rows as r
join bench.pool as p on p.number = abs(hashint8(r.n) %% %(texts)s)
""",
    "documents": """
insert into search.documents
    (message_id, starts_at, user_id, conversation_id, role, created_at, words)
select r.message_id, 0, r.user_id, r.conversation_id,
       case r.seq %% 2 when 1 then 'user' else 'assistant' end, r.at, p.words
from bench.rows as r
join bench.pool as p on p.number = abs(hashint8(r.n) %% %(texts)s)
""",
}
KEYS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype = 'f'
from pg_constraint
where contype in ('p', 'u') and conrelid = any (%(tables)s::regclass[])
   or contype = 'f' and %(tables)s::regclass[] && array[conrelid::regclass, confrelid::regclass]
order by contype = 'f', conrelid, contype
"""
INDEXES = """
select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
from pg_index as i
where i.indrelid = any (%(tables)s::regclass[])
  and not exists (select 1 from pg_constraint as c where c.conindid = i.indexrelid)
"""


Say = Callable[..., None]


def main() -> None:
    """Fill an empty database that has the schema."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("url")
    parser.add_argument("--messages", type=int, default=10_000)
    options = parser.parse_args()
    with psycopg.connect(options.url, autocommit=True) as db:
        populate(db, options.messages, is_told=True)
        db.execute("vacuum")


def populate(
    db: psycopg.Connection, messages: int, *, texts: int = TEXTS, is_told: bool = False
) -> None:
    """Write so many messages, a multiple of a thousand, of a tenth of a per mille as many users."""
    users = messages // (CONVERSATIONS_OF_EACH * MESSAGES_OF_EACH)
    sizes = {
        "messages": messages,
        "texts": texts,
        "users": users,
        "chats": users * CONVERSATIONS_OF_EACH,
        "each": MESSAGES_OF_EACH,
        "at_a_time": min(AT_A_TIME, users * CONVERSATIONS_OF_EACH),
    }
    say = print if is_told else _silent
    db.execute("set maintenance_work_mem = '1GB'; set work_mem = '256MB'")
    db.execute("set session_replication_role = replica")
    for statement in (TOOLS, POOL, USERS, CHATS, ROWS.format(**sizes), INDEX_TOOLS):
        db.execute(statement.encode(), sizes if "%(" in statement else None)
    with _keys_set_aside(db, say):
        for name, statement in FILL.items():
            _timed(db, say, name, statement, sizes)
    db.execute("reset session_replication_role")
    _timed(db, say, "analyze", "analyze")
    db.execute("drop schema bench cascade")
    db.execute("reset maintenance_work_mem; reset work_mem")


@contextmanager
def _keys_set_aside(db: psycopg.Connection, say: Say) -> Iterator[None]:
    """Drop every key and index of what is filled, and make them again afterwards."""
    tables = {"tables": FILLED}
    keys = db.execute(KEYS.encode(), tables).fetchall()
    indexes = db.execute(INDEXES.encode(), tables).fetchall()
    for table, name, _, _ in reversed(keys):
        db.execute(f"alter table {table} drop constraint {name}".encode())
    for name, _ in indexes:
        db.execute(f"drop index {name}".encode())
    yield
    for _, definition in indexes:
        _timed(db, say, definition.partition(" USING")[0], definition)
    for table, name, definition, _ in keys:
        _timed(db, say, name, f"alter table {table} add constraint {name} {definition}")


def _timed(
    db: psycopg.Connection,
    say: Say,
    name: str,
    statement: str,
    values: dict[str, int] | None = None,
) -> None:
    started = time.perf_counter()
    db.execute(statement.encode(), values)
    say(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


def _silent(*_: object, **__: object) -> None:
    return None


if __name__ == "__main__":
    main()
