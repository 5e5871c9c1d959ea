"""Many turns on few conversations: python -m bench.growth [--rounds 20000], turns in all.

Eight clients take turns in eight conversations, as fast as they can, with Postgres cleaning up
behind them as it does by itself. Printed are the bytes that a turn leaves on disk and in the
write-ahead log, what is dead, and what turns cost at the end against the beginning.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psycopg

from bench.database import HISTORY_OF_50, Floor, server_with_schema, take_turn
from bench.frame import Report, figure_of, in_runs, rounds_of
from tests.support.sql_calls import Caller, make_account, make_conversation

CLIENTS = 8
BLOCKS = 10
BYTES = """
select pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())
"""
TABLES = """
select schemaname || '.' || relname, n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd,
       autovacuum_count, pg_total_relation_size(relid)
from pg_stat_user_tables
where n_tup_ins > 1000
order by pg_total_relation_size(relid) desc
"""
KIB = 1024


def main() -> None:
    """Run a server of its own, take the turns, remove it."""
    with (
        Report("growth", rounds_of(__doc__, 20_000)) as report,
        server_with_schema() as server,
        psycopg.connect(server.url(), autocommit=True) as db,
    ):
        turns = report.rounds
        users = [make_account(db) for _ in range(CLIENTS)]
        chats = [(user_id, make_conversation(db, user_id)) for user_id in users]
        before = _bytes(db)
        work = partial(take_turns, server.url(), turns // CLIENTS // BLOCKS)
        rates = []
        with ProcessPoolExecutor(CLIENTS) as pool:
            for _ in range(BLOCKS):
                started = time.perf_counter()
                list(pool.map(work, chats))
                rates.append(turns / BLOCKS / (time.perf_counter() - started))
        after = _bytes(db)
        index(db, users)
        indexed = _bytes(db)
        floor = floor_bytes(db, 5000)
        thirds = in_runs(rates)
        wal, disk = _of_each(before, after, turns)
        index_wal, index_disk = _of_each(after, indexed, turns)
        report.add(
            f"{turns} turns in {CLIENTS} conversations, history of 50",
            [
                figure_of("turns a second, first blocks", "turns/s", thirds[:1]),
                figure_of("turns a second, last blocks", "turns/s", thirds[-1:], thirds[:1]),
                figure_of("write-ahead log of a turn", "KiB", [[wal]], [[floor[0]]]),
                figure_of("disk of a turn", "KiB", [[disk]], [[floor[1]]]),
                figure_of("the log of its search index, later", "KiB", [[index_wal]]),
                figure_of("disk of its search index", "KiB", [[index_disk]]),
            ],
        )
        tell(db)


def take_turns(db_url: str, turns: int, chat: tuple[str, str]) -> None:
    """Take turns in one conversation, on a connection of its own."""
    with psycopg.connect(db_url, autocommit=True) as db:
        caller = Caller(db)
        for _ in range(turns):
            take_turn(caller, *chat, HISTORY_OF_50)


def floor_bytes(db: psycopg.Connection, turns: int) -> tuple[float, float]:
    """Return what two bare inserts leave in the log and on disk, in KiB."""
    floor = Floor(db)
    before = _bytes(db)
    for _ in range(turns):
        floor.turn()
    after = _bytes(db)
    return _of_each(before, after, turns)


def index(db: psycopg.Connection, users: list[str]) -> None:
    """Take the search index on to what was stored last, as the sweeper does."""
    service = Caller(db)
    for user_id in users:
        while service.call("index_messages", user_id=user_id)["more"]:
            pass


def tell(db: psycopg.Connection) -> None:
    """Print what each table has come to."""
    db.execute("select pg_stat_force_next_flush()")
    print(f"\n  {'table':32} {'rows':>9} {'dead':>8} {'updates':>9}   HOT  vacuums       MB")
    for name, live, dead, updates, hot, vacuums, size in db.execute(TABLES.encode()).fetchall():
        share = f"{hot / updates:.0%}" if updates else ""
        print(f"  {name:32} {live:9} {dead:8} {updates:9} {share:>6} {vacuums:8} {size / 1e6:8.1f}")


def _bytes(db: psycopg.Connection) -> tuple[int, int]:
    row = db.execute(BYTES.encode()).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _of_each(before: tuple[int, int], after: tuple[int, int], turns: int) -> tuple[float, float]:
    wal, disk = ((b - a) / turns / KIB for a, b in zip(before, after, strict=True))
    return wal, disk


if __name__ == "__main__":
    main()
