"""A search by one of many users against the bare look-up in the same index.

    python -m bench.search [--rounds 200]
    SEARCH_MESSAGES=1000000 python -m bench.search     # a thousand users; 10 GB of disk for a while

Each user has a thousand messages of forty words, drawn so that some words are common and most are
rare. All sides take turns in one run; the figures are medians. "No policies" is the same call by a
superuser, for whom row-level security is off: the difference is what it costs. The bare look-up is
one plain statement, without reading the query, titles and snippets. The last lines are what a
turn's two writes cost with the watermark and without, and what indexing them costs afterwards.
"""

import argparse
import json
import os
import random
import statistics
import time
import uuid
from collections.abc import Callable

import psycopg

from local import database
from tests.support.plans import watched_plans
from tests.support.postgres import running_server

MESSAGES = int(os.environ.get("SEARCH_MESSAGES", "100000"))
A_USER = 1000
A_CONVERSATION = 100
WORDS = 20_000

SYLLABLES = "'{ka,re,to,mi,lo,sen,dra,vi,pu,gor,tal,ne,shi,bu,fex,or,qua,zi,hem,wy}'::text[]"
WORD = f"""
create function bench_word(n int) returns text language sql immutable as $$
    select ({SYLLABLES})[1 + n % 20] || ({SYLLABLES})[1 + n / 20 % 20]
        || ({SYLLABLES})[1 + n / 400 % 20] || ({SYLLABLES})[1 + n / 8000 % 20]
$$;
"""
USERS = """
insert into auth.users (id) select gen_random_uuid() from generate_series(1, %(users)s);
"""
CONVERSATIONS = """
insert into public.conversations (user_id, last_seq)
select id, %(each)s from auth.users cross join generate_series(1, %(a_user)s / %(each)s);
"""
MESSAGES_OF_EACH = """
insert into public.messages (conversation_id, user_id, role, content, seq, created_at)
select c.id, c.user_id, case seq %% 2 when 1 then 'user' else 'assistant' end,
       (select string_agg(bench_word(drawn), ' ')
        from (select power(%(words)s, random())::int from generate_series(1, 40) as k
              where k > 0 * seq offset 0) as draws (drawn)),
       seq, timestamptz '2026-01-01' + make_interval(secs => n * 100 + seq)
from (select *, row_number() over () as n from public.conversations) as c
cross join generate_series(1, %(each)s) as seq
"""
DOCUMENTS = """
insert into search.documents
    (message_id, starts_at, user_id, conversation_id, role, created_at, words)
select m.id, w.starts_at, m.user_id, m.conversation_id, m.role, m.created_at, w.words
from public.messages as m
cross join lateral search.read_words(m.content, m.generated_code) as w
"""
LOOK_UP = """
select message_id, ts_rank(words, q, 1) as rank
from search.documents, phraseto_tsquery('simple', %(word)s) as q
where user_id = %(user)s and words @@ q
order by rank desc, created_at desc, message_id desc
limit 20
"""
FIND = (
    "select search.find_messages(%(user)s, %(word)s, null, null, null, null, null, false, 20, null)"
)
SEARCH = "select public.search_messages(%(user)s, %(word)s)"
TEXT = "A thousand characters about the turn that is measured, useAuth and user.id too. " * 13


def main() -> None:
    """Fill a server of its own, measure, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    with running_server() as server:
        database.shape(server.url())
        database.migrate(server.url())
        with psycopg.connect(server.url(), autocommit=True) as db:
            fill(db)
            searches(db, rounds)
            writes(db, rounds)


def fill(db: psycopg.Connection) -> None:
    """Write the messages past the triggers, as they would stand, and index them at once."""
    started = time.perf_counter()
    sizes = {"users": MESSAGES // A_USER, "a_user": A_USER, "each": A_CONVERSATION, "words": WORDS}
    index = db.execute(
        "select indexdef from pg_indexes where indexname = 'idx_documents_words'"
    ).fetchone()
    assert index is not None
    db.execute("set session_replication_role = replica")
    db.execute("set maintenance_work_mem = '512MB'")
    db.execute("drop index search.idx_documents_words")
    db.execute(WORD)
    for statement in (USERS, CONVERSATIONS, MESSAGES_OF_EACH, DOCUMENTS):
        db.execute(statement.encode(), sizes)
    db.execute(index[0].encode())
    db.execute("reset session_replication_role")
    db.execute("vacuum analyze")
    print(f"{MESSAGES} messages of {sizes['users']} users in {time.perf_counter() - started:.0f} s")
    for relation in ("public.messages", "search.documents", "search.idx_documents_words"):
        row = db.execute(
            "select pg_size_pretty(pg_table_size(%s::regclass))", (relation,)
        ).fetchone()
        assert row is not None
        print(f"{relation:30} {row[0]}")


def searches(db: psycopg.Connection, rounds: int) -> None:
    """Time the look-up, what a user's call finds, and the whole answer, in changing order."""
    users = [row[0] for row in db.execute("select id from auth.users limit 1000")]
    as_user = psycopg.connect(db.info.dsn, autocommit=True)
    as_user.execute("set role authenticated")  # for good: a plan under policies is a role's own
    times: dict[str, list[float]] = {}
    hits: list[int] = []
    for number in range(rounds + 20):
        user, word = random.choice(users), _word(db, random.randint(20, 2000))  # noqa: S311
        sides = [
            ("look-up, no policies", db, LOOK_UP),
            ("find_messages, as the user", as_user, FIND),
            ("find_messages, no policies", db, FIND),
            ("search_messages, as the user", as_user, SEARCH),
            ("search_messages, no policies", db, SEARCH),
        ]
        random.shuffle(sides)
        db.execute(LOOK_UP.encode(), {"word": word, "user": user})  # warm for all of them
        for name, connection, statement in sides:
            sign_in(connection, user)
            started = time.perf_counter()
            rows = connection.execute(statement.encode(), {"word": word, "user": user}).fetchall()
            if number >= 20:
                times.setdefault(name, []).append(time.perf_counter() - started)
                hits += [len(rows)] if name.startswith("look-up") else []
    as_user.close()
    least = statistics.median(times["look-up, no policies"])
    print(f"hits on a page: {statistics.mean(hits):.1f} of 20 at most, in the mean")
    for name, taken in sorted(times.items()):
        median = statistics.median(taken)
        print(f"{name:30} {median * 1000:8.2f} ms   ratio {median / least:.2f}")
    sign_in(db, users[0])
    with watched_plans(db) as plans:
        db.execute("set role authenticated")
        db.execute(FIND.encode(), {"word": _word(db, 300), "user": users[0]})
    print(next(plan for plan in plans if "ts_rank" in plan).partition("->  Limit")[2])


def writes(db: psycopg.Connection, rounds: int) -> None:
    """Time turns of a kilobyte each way, with the watermark and without, in blocks of ten."""
    row = db.execute("select id from auth.users limit 1").fetchone()
    assert row is not None
    times: dict[str, list[float]] = {"enable": [], "disable": []}
    for _ in range(max(1, rounds // 10)):
        for state in ("enable", "disable"):
            db.execute(
                f"alter table public.messages {state} trigger messages_note_unindexed".encode()
            )
            times[state] += [_seconds_of(lambda: _turn(db, row[0])) for _ in range(10)]
    db.execute("alter table public.messages enable trigger messages_note_unindexed")
    indexed, bare = (statistics.median(times[state]) * 1000 for state in ("enable", "disable"))
    mean = statistics.mean(times["enable"]) / statistics.mean(times["disable"])
    print(f"a turn's writes with the watermark {indexed:.2f} ms, without {bare:.2f} ms,"
          f" ratio {indexed / bare:.2f} (of the means {mean:.2f})")  # fmt: skip
    steps = []
    while db.execute("select 1 from search.watermarks where user_id = %s", row).fetchone():
        steps.append(_seconds_of(lambda: _index(db, row[0])))
    print(f"a step of 100 messages of the index {statistics.median(steps) * 1000:.2f} ms")


def sign_in(connection: psycopg.Connection, user: uuid.UUID) -> None:
    """Let auth.uid() be this user."""
    claims = json.dumps({"sub": str(user), "role": "authenticated"})
    connection.execute("select set_config('request.jwt.claims', %s, false)", (claims,))


def _word(db: psycopg.Connection, number: int) -> str:
    row = db.execute("select bench_word(%s)", (number,)).fetchone()
    assert row is not None
    return str(row[0])


def _turn(db: psycopg.Connection, user: uuid.UUID) -> None:
    row = db.execute(
        "select public.begin_turn(user_id => %s, idempotency_key => %s, request_hash => 'bench',"
        " request => %s, message_id => gen_random_uuid())",
        (user, uuid.uuid4().hex, TEXT),
    ).fetchone()
    assert row is not None
    db.execute(
        "select public.complete_turn(user_id => %s, turn_id => %s, attempt => 1,"
        " message_id => gen_random_uuid(), status => 'completed',"
        " content => %s, metadata => '{\"success\": true}')",
        (user, row[0]["turn"]["id"], TEXT),
    )


def _index(db: psycopg.Connection, user: uuid.UUID) -> None:
    db.execute("select public.index_messages(%s, 100)", (user,))


def _seconds_of(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
