"""Many messages against few: python -m bench.scale [--messages 1000000] [--rounds 90] [--server U].

Ten thousand messages of ten users, and as many more users as the other number makes, each with as
much as theirs, on one server. What a user does must cost the same in both. Beside any user of the
many stand ten of them alone: what those differ by is what isn't in memory, and no plan. Pages are
those of Postgres, of 8 kB, that a call looks at, whatever else the machine does.

A million take about a minute and 1.5 GB of disk, ten million ten minutes and 13 GB; what is
measured then takes two minutes. A server with the databases `few` and `many`, made by
bench.population, can be given instead.
"""

import argparse
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from bench.database import send_as_on_hosted, sign_in, take_turn
from bench.frame import RUNS, Report, figure_of
from bench.population import populate
from local import database
from tests.support.postgres import running_server
from tests.support.sql_calls import Caller

FEW = 10_000
A_FEW_USERS = 10
CALLS = 10
TURNS = 100


class Users:
    """Some of a database's users with their conversations, and calls about one of them each."""

    def __init__(self, db: psycopg.Connection, most: int) -> None:
        self.db = db
        self._service = Caller(db)
        rows = db.execute(
            "select user_id::text, array_agg(id::text) from public.conversations"
            " where user_id in (select id from auth.users order by id limit %s) group by 1",
            (most,),
        )
        self._chats: dict[str, list[str]] = dict(rows.fetchall())
        self._ids = list(self._chats)
        self.words = [
            row[0].split()[0]
            for row in db.execute("select content from public.messages limit 200").fetchall()
        ]

    def one(self) -> tuple[str, str]:
        """Return a user and one of their conversations."""
        user_id = random.choice(self._ids)  # noqa: S311
        return user_id, random.choice(self._chats[user_id])  # noqa: S311

    def turn(self) -> None:
        """Take a turn with a history of fifty."""
        take_turn(self._service, *self.one())

    def load(self) -> None:
        """Read the newest page of a conversation."""
        user_id, chat = self.one()
        self._as_user(user_id, "select public.load_conversation(%s, %s)", user_id, chat)

    def list(self) -> None:
        """Read the newest page of conversations."""
        user_id, _ = self.one()
        self._as_user(user_id, "select public.list_conversations(%s)", user_id)

    def search(self) -> None:
        """Search for a word that some message has."""
        user_id, _ = self.one()
        word = random.choice(self.words)  # noqa: S311
        self._as_user(user_id, "select public.search_messages(%s, %s)", user_id, word)

    def analytics(self) -> None:
        """Sum up thirty days."""
        user_id, _ = self.one()
        query = (
            "select public.conversation_analytics(%s, now() - interval '30 days', now(),"
            " jsonb_agg(now() - n * interval '1 day' order by n desc))"
            " from generate_series(0, 30) as n"
        )
        self._as_user(user_id, query, user_id)

    def export(self) -> None:
        """Read fifty messages as an export does."""
        user_id, chat = self.one()
        self._as_user(user_id, "select public.export_messages(%s, %s, 50)", user_id, chat)

    def retention(self) -> None:
        """List a hundred conversations that are due, then look through one user's."""
        user_id, _ = self.one()
        self._service.call("list_users_due_for_retention", most=100)
        self._service.call("apply_retention", user_id=user_id)

    def health(self) -> None:
        """Check what was written in the last hour, as deep health does."""
        self.db.execute("select public.check_invariants(120, now() - interval '1 hour')")

    def doctor(self) -> None:
        """Check two thousand rows of each table, as a step of the doctor does."""
        for table, page in (
            ("public.messages", "select id from public.messages order by id limit 2000"),
            ("public.turns", "select id from public.turns order by id limit 2000"),
            ("search.documents", "select message_id from search.documents order by 1 limit 2000"),
        ):
            ids = [row[0] for row in self.db.execute(page.encode())]
            self.db.execute("select private.find_broken(%s, %s, now())", (table, ids))

    def sweep(self) -> None:
        """List what a sweep looks for."""
        self._service.call("list_expired_turns")
        self._service.call("list_users_to_index")

    def _as_user(self, user_id: str, query: str, *values: Any) -> None:
        sign_in(self.db, user_id)
        self.db.execute("set role authenticated")
        self.db.execute(query.encode(), values).fetchone()
        self.db.execute("reset role")


WORK: dict[str, Callable[[Users], Callable[[], None]]] = {
    "deep health": lambda users: users.health,
    "a turn": lambda users: users.turn,
    "load 50 messages": lambda users: users.load,
    "list 50 conversations": lambda users: users.list,
    "search": lambda users: users.search,
    "analytics of 30 days": lambda users: users.analytics,
    "export 50 messages": lambda users: users.export,
    "retention, a step": lambda users: users.retention,
    "doctor, 2,000 rows of each table": lambda users: users.doctor,
    "sweep, its listings": lambda users: users.sweep,
}


def main() -> None:
    """Fill two databases, measure, remove them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=90)
    parser.add_argument("--server", help="one that has both databases")
    options = parser.parse_args()
    with Report("scale", options.rounds) as report, ExitStack() as on:
        server = options.server or on.enter_context(filled_server(options.messages))
        few, many = (
            on.enter_context(psycopg.connect(make_conninfo(server, dbname=name), autocommit=True))
            for name in ("few", "many")
        )
        compare(few, many, report)


@contextmanager
def filled_server(messages: int) -> Iterator[str]:
    """Run a server with both databases."""
    with running_server() as server:
        for name, size in (("few", FEW), ("many", messages)):
            server.execute(f"create database {name}")
            database.shape(server.url(name))
            database.migrate(server.url(name))
            send_as_on_hosted(server.url(name))
            with psycopg.connect(server.url(name), autocommit=True) as db:
                populate(db, size)
                db.execute("vacuum")
        yield server.url()


def compare(few: psycopg.Connection, many: psycopg.Connection, report: Report) -> None:
    """Print each thing that is done, in the small database and in the large one."""
    count = sum(
        row[0]
        for row in many.execute("select sum(last_seq)::bigint from public.conversations").fetchall()
    )
    sides = {
        f"of {FEW:,} messages": Users(few, A_FEW_USERS),
        f"of {count:,}, ten of the users": Users(many, A_FEW_USERS),
        f"of {count:,}, any of them": Users(many, count),
    }
    for db in (few, many):
        db.execute("select public.set_retention_policy(archive_after_days => 2)")
    for _ in range(TURNS):  # for deep health, which looks at what is new
        for users in list(sides.values())[::2]:
            users.turn()
    for name, work in WORK.items():
        calls = {side: work(users) for side, users in sides.items()}
        report.time(name, calls)
        pages = {side: pages_of(sides[side].db, call) for side, call in calls.items()}
        least = next(iter(pages.values()))
        report.add("", [figure_of(side, "pages", each, least) for side, each in pages.items()])


def pages_of(db: psycopg.Connection, call: Callable[[], None]) -> list[list[float]]:
    """Return how many pages a call looks at, the mean of each run."""
    runs = []
    for _ in range(RUNS):
        before = _pages_so_far(db)
        for _ in range(CALLS):
            call()
        runs.append([(_pages_so_far(db) - before) / CALLS])
    return runs


def _pages_so_far(db: psycopg.Connection) -> int:
    db.execute("select pg_stat_force_next_flush()")
    row = db.execute(
        "select blks_hit + blks_read from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()
