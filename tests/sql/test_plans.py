"""How pages are read: by the rows that they show, however long the rest is and whoever else writes.

On a database with statistics of its own: thousands of other users with a message and a reply each,
one very long conversation, one very long list.
"""

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from local import database
from tests.support.clients import install_clients
from tests.support.plans import watched_plans
from tests.support.postgres import Server, programs_of, running_server
from tests.support.sql_calls import act_as

pytestmark = pytest.mark.promise("lists", red="a page reads its whole conversation")

USERS = 3000
CHATS = 3000
LONG = 20_000
PAGE = 20
MOST = 10 * PAGE  # a page or a step of a walk, and a row for each
OTHERS = f"""
with users as (
    insert into auth.users (id) select gen_random_uuid() from generate_series(1, {USERS})
    returning id
),
chats as (
    insert into conversations (user_id, last_seq, updated_at)
    select id, 2, now() - row_number() over () * interval '2 minutes' from users
    returning id, user_id
),
turns as (
    insert into turns (
        conversation_id, user_id, idempotency_key, request_hash, status, lease_expires_at,
        finished_at
    )
    select id, user_id, 'key', 'hash', 'completed', now(), now()
    from chats
)
insert into messages (conversation_id, user_id, role, content, seq, created_at)
select id, user_id, 'user', 'Message ' || n, n, now() + n * interval '1 microsecond'
from chats, generate_series(1, 2) as n
"""
OWNER = f"""
with owner as (insert into auth.users (id) values (%(owner)s) returning id),
chats as (
    insert into conversations (user_id, updated_at)
    select id, now() - n * interval '1 minute' from owner, generate_series(1, {CHATS}) as n
),
chat as (
    insert into conversations (id, user_id, last_seq, updated_at)
    select %(chat)s, id, {LONG}, now() + interval '1 minute' from owner
    returning id, user_id
),
turns as (
    insert into turns (
        conversation_id, user_id, idempotency_key, request_hash, status, lease_expires_at,
        finished_at
    )
    select id, user_id, n, 'hash', 'completed', now(), now()
    from chat, generate_series(1, {LONG} / 2) as n
)
insert into messages (conversation_id, user_id, role, content, seq, created_at)
select id, user_id, 'user', 'Message ' || n, n, now() + n * interval '1 microsecond'
from chat, generate_series(1, {LONG}) as n
"""
SUMMARIES = f"""
insert into summaries (id, conversation_id, user_id, through_message_id)
select m.id, m.conversation_id, m.user_id, through.id
from messages as m
join messages as through
    on through.conversation_id = m.conversation_id and through.seq = m.seq - 1
where m.conversation_id = %(chat)s and m.seq %% ({LONG} / 4) = 0
"""


@dataclass
class Populated:
    """A database as its superuser, and whose long conversation is in it."""

    db: psycopg.Connection
    owner: str
    chat: str


# What the planner knows: all there is, nothing, or what was true before most of it was written.
STATISTICS = ("fresh", "none", "before the others", "before the owner")
CASES = [
    ("fresh", "no summaries", ""),
    *((statistics, "summaries", "") for statistics in STATISTICS),
    # On the other versions those that have misled them.
    *((statistics, "summaries", major) for major in (15, 17) for statistics in STATISTICS[1::2]),
]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: ", ".join(str(part) for part in case if part)
)
def populated(bare_server: Server, request: pytest.FixtureRequest) -> Iterator[Populated]:
    """The database, with the statistics that the case names and no way to better ones."""
    statistics, summaries, major = request.param
    owner, chat = str(uuid.uuid4()), str(uuid.uuid4())
    with contextlib.ExitStack() as opened:
        server = opened.enter_context(server_of(major)) if major else bare_server
        url = opened.enter_context(server.database())
        db = opened.enter_context(psycopg.connect(url, autocommit=True))
        database.shape(url)
        database.migrate(url)
        for table in ("conversations", "messages", "turns", "summaries"):
            db.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
        db.execute("set session_replication_role = replica")
        steps = [(OTHERS, "before the owner"), (OWNER, "before the others")]
        for step, analysed in steps[::-1] if statistics == "before the others" else steps:
            db.execute(step.encode(), {"owner": owner, "chat": chat} if step is OWNER else None)
            if statistics == analysed:
                db.execute("analyze")
        if summaries == "summaries":
            db.execute(SUMMARIES.encode(), {"chat": chat})
        db.execute("set session_replication_role = origin")
        if statistics == "fresh":
            db.execute("vacuum analyze")
        act_as(db, owner)
        yield Populated(db, owner, chat)


def server_of(major: int) -> contextlib.AbstractContextManager[Server]:
    """Return a server of this version, to be run."""
    install_clients()
    programs = programs_of(major)
    if programs is None:
        pytest.skip(f"no PostgreSQL {major} server on this machine (only its programs are needed)")
    return running_server(programs)


CALLS = {
    "newest page": "load_conversation(%(owner)s, %(chat)s, 20)",
    "page before": "load_conversation(%(owner)s, %(chat)s, 20, before => 60)",
    "page after": "load_conversation(%(owner)s, %(chat)s, 20, after => 40)",
    "page around": "load_conversation(%(owner)s, %(chat)s, 20, around => %(middle)s)",
    "export": "export_messages(%(owner)s, %(chat)s, 9000, page_size => 20)",
    "history": "load_history(%(owner)s, %(chat)s, 200)",
}


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_part_of_a_long_conversation_is_read_by_its_rows(
    populated: Populated, call: str, plan_kind: str, role: str
) -> None:
    """By values that the planner knows, and by ones that it doesn't, as after a few calls."""
    middle = populated.db.execute(
        "select id from messages where conversation_id = %s and seq = %s",
        (populated.chat, LONG // 2 + 1),
    ).fetchone()
    assert middle is not None
    values = {"owner": populated.owner, "chat": populated.chat, "middle": middle[0]}
    assert PAGE <= rows_read(populated.db, call, values, plan_kind, role) <= MOST


@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
def test_what_is_due_for_a_summary_is_read_by_its_rows(
    populated: Populated, plan_kind: str
) -> None:
    """The newest that stay as they are, and the oldest of the others."""
    call = "load_unsummarised(%(owner)s, %(chat)s, 200)"
    values = {"owner": populated.owner, "chat": populated.chat}
    most = MOST + PAGE  # which stretch of the conversation is asked about is looked up, too
    assert 0 < rows_read(populated.db, call, values, plan_kind, "service_role") <= most


@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
def test_a_deep_page_of_a_list_is_read_by_its_rows(populated: Populated, plan_kind: str) -> None:
    """From where the page before it ended."""
    call = (
        "list_conversations(%(owner)s, page_size => 20, before_id => %(id)s,"
        " before_updated_at => now() - interval '2500 minutes')"
    )
    values = {"id": uuid.uuid4(), "owner": populated.owner}
    assert PAGE <= rows_read(populated.db, call, values, plan_kind, "authenticated") <= MOST


# An erasure sorts the user's conversations and counts what remains, each once: here that is half of
# the table.
UPKEEP = {
    "retention": ("apply_retention(%(owner)s, most => 20)", MOST),
    "applied retention": ("apply_retention(%(owner)s, false, most => 20)", MOST),
    "users due": ("list_users_due_for_retention(most => 20)", MOST),
    "a turn by its keys": ("find_turn(%(owner)s, array['none', '7', '8', '9'])", MOST),
    "expired turns": ("list_expired_turns(20)", MOST),
    "an erasure": ("erase_account(%(owner)s, 'key', most => 20)", MOST + 2 * CHATS + USERS),
    "a stranger's erasure": ("erase_account(gen_random_uuid(), 'key', most => 20)", MOST),
}


@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("case", UPKEEP)
def test_a_step_of_upkeep_is_read_by_its_rows(
    populated: Populated, case: str, plan_kind: str
) -> None:
    """However much there is that is due, that isn't yet, and of others."""
    call, most = UPKEEP[case]
    with populated.db.transaction(force_rollback=True):
        populated.db.execute("select set_retention_policy(archive_after_days => 1)")
        values = {"owner": populated.owner}
        assert rows_read(populated.db, call, values, plan_kind, "service_role") <= most


@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("stage", ["private.conversations", "public.messages", "public.turns"])
def test_a_page_of_the_doctor_is_read_by_its_rows(
    populated: Populated, stage: str, plan_kind: str
) -> None:
    """What each row is compared with is looked up, however much else there is."""
    page = f"array(select id from {stage} order by id limit {PAGE})"
    ids = populated.db.execute(f"select {page}".encode()).fetchone()
    assert ids is not None
    call = "private.find_broken(%(stage)s, %(ids)s, now())"
    values = {"stage": stage, "ids": ids[0]}
    assert PAGE <= rows_read(populated.db, call, values, plan_kind, "none") <= MOST


# Of a search, what it reads beside the index: the newest hundred, and a hundred to be counted. Of a
# step of the index: each row that is indexed, which its words' foreign key looks up too.
UNINDEXED = {
    "a search": ("search_messages(%(owner)s, 'message')", "authenticated", 100, 4 * 101),
    "a search by parts": ("search_messages(%(owner)s, 'essag')", "authenticated", 100, 4 * 101),
    "a step of the index": ("index_messages(%(owner)s, 20)", "service_role", 20, MOST),
    "users to index": ("list_users_to_index()", "service_role", 0, MOST),
}


@pytest.mark.parametrize("plan_kind", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("case", UNINDEXED)
def test_what_is_not_indexed_is_read_by_a_bounded_number_of_rows(
    populated: Populated, case: str, plan_kind: str
) -> None:
    """However much of the user's, and of others', is not in the index yet."""
    call, role, least, most = UNINDEXED[case]
    with populated.db.transaction(force_rollback=True):
        populated.db.execute(
            "insert into search.watermarks (user_id, conversation_id, indexed_seq)"
            " select user_id, id, 0 from conversations where last_seq > 0"
        )
        values = {"owner": populated.owner}
        assert least <= rows_read(populated.db, call, values, plan_kind, role) <= most


def rows_read(
    db: psycopg.Connection, call: str, values: Mapping[str, Any], plan_kind: str, role: str
) -> int:
    """Return how many rows of tables a call read, those that it threw away included."""
    db.execute(f"set plan_cache_mode = {plan_kind}".encode())
    with watched_plans(db) as plans:
        db.execute(f"set role {role}".encode())
        db.execute(f"select {call}".encode(), values)
    return sum(_rows_of(plan) for plan in plans)


def _rows_of(plan: str) -> int:
    rows, loops = 0, 0
    for line in plan.splitlines():
        if "->" in line or "actual rows" in line:
            is_table = re.search(r"Scan.* on (messages|conversations|turns)\b", line)
            found = re.search(r"actual rows=(\d+)\S* loops=(\d+)", line)
            loops = int(found[2]) if found and is_table else 0
            rows += int(found[1]) * loops if found else 0
        elif removed := re.search(r"Rows Removed by .*: (\d+)", line):
            rows += int(removed[1]) * loops
    return rows
