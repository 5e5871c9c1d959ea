"""What `pg_notify` in each commit of a turn would cost: python -m bench.notify [--rounds 1600].

Eight clients take turns in SQL, each in a conversation of its own, on a server whose commits wait
for the disk; with a notification in each of a turn's two commits, for two that listen, and without,
by turns. Beside it what it would save: a look at a turn that another process runs.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial

import psycopg

from bench.cpu import cpu_of
from bench.database import HISTORY_OF_50, TEXT, conversation_of, server_with_schema
from bench.frame import RUNS, Figure, Report, figure_of, rounds_of
from tests.support.sql_calls import Caller, make_account

CLIENTS = 8
LOOKS = 500
QUIET, NOTIFYING = "select 1", "select pg_notify('turns', gen_random_uuid()::text)"


# What commit_delay adds to each flush, in microseconds: as on a disk behind a network.
DISKS = {"this machine's disk": 0, "a flush that takes 3 ms more": 3000}


def main() -> None:
    """Run a server of its own, measure, remove it."""
    turns, report = rounds_of(__doc__, 1600), Report("notify")
    with (
        server_with_schema(is_durable=True) as server,
        ProcessPoolExecutor(CLIENTS) as pool,
        ExitStack() as listeners,
    ):
        for _ in range(2):
            listening = psycopg.connect(server.url(), autocommit=True)
            listeners.enter_context(listening).execute("listen turns")
        for disk, microseconds in DISKS.items():
            server.execute("alter system set commit_siblings = 0")
            server.execute(f"alter system set commit_delay = {microseconds}")
            server.execute("select pg_reload_conf()")
            rates, flushes = in_turns(server.url(), pool, turns)
            report.add(f"turns a second, {CLIENTS} clients, {disk}", figures(rates, "turns/s"))
            report.add(f"flushes of the log for a turn, {disk}", figures(flushes, "flushes"))
        looks = figure_of("a look at a running turn", "ms", look(server.url()))
        report.add("CPU of Postgres", [looks])
    report.keep()


Measured = dict[str, list[list[float]]]


def in_turns(db_url: str, pool: ProcessPoolExecutor, turns: int) -> tuple[Measured, Measured]:
    """Take turns without notifications and with them; return turns a second, and flushes."""
    rates: Measured = {QUIET: [], NOTIFYING: []}
    flushes: Measured = {QUIET: [], NOTIFYING: []}
    with psycopg.connect(db_url, autocommit=True) as db:
        for run in range(RUNS + 1):  # the first warms up
            for beside in (QUIET, NOTIFYING) if run % 2 else (NOTIFYING, QUIET):
                work = partial(take_turns, db_url, turns // CLIENTS // RUNS, beside)
                started, before = time.perf_counter(), flushed(db)
                taken = sum(pool.map(work, range(CLIENTS)))
                rates[beside].append([taken / (time.perf_counter() - started)])
                flushes[beside].append([(flushed(db) - before) / taken])
    return rates, flushes


def figures(measured: Measured, unit: str) -> list[Figure]:
    """Return both sides, without what warmed up."""
    quiet, notifying = measured[QUIET][1:], measured[NOTIFYING][1:]
    return [
        figure_of("without notifications", unit, quiet),
        figure_of("with one in each commit", unit, notifying, quiet, "without notifications"),
    ]


def flushed(db: psycopg.Connection) -> int:
    """Return how often the write-ahead log was flushed."""
    db.execute("select pg_stat_force_next_flush()")
    (row,) = db.execute("select sum(fsyncs) from pg_stat_io where object = 'wal'").fetchall()
    return int(row[0])


def take_turns(db_url: str, turns: int, beside: str, _: int) -> int:
    """Take turns on a connection of its own, with a statement beside each call; return how many."""
    with psycopg.connect(db_url, autocommit=True) as db:
        user_id = make_account(db)
        conversation, caller = conversation_of(db, user_id, 10), Caller(db)
        for _ in range(turns):
            with db.transaction():
                begun = caller.begin(
                    user_id, TEXT, conversation_id=conversation, history_tokens=HISTORY_OF_50
                )
                db.execute(beside.encode())
            with db.transaction():
                caller.complete(begun, content=TEXT)
                db.execute(beside.encode())
    return turns


def look(db_url: str) -> list[list[float]]:
    """Return what a reading takes of its backend, in milliseconds: the mean of each run."""
    with psycopg.connect(db_url, autocommit=True) as db:
        caller = Caller(db)
        turn = caller.begin(make_account(db), TEXT)["turn"]
        runs = []
        for _ in range(RUNS):
            before = cpu_of(db.info.backend_pid)
            for _ in range(LOOKS):
                caller.call(
                    "follow_turn", user_id=turn["user_id"], turn_id=turn["id"], attempt=1,
                    draft_offset=0,
                )  # fmt: skip
            runs.append([(cpu_of(db.info.backend_pid) - before) / LOOKS * 1000])
        return runs


if __name__ == "__main__":
    main()
