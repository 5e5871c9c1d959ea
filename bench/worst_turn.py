"""The worst turn of ten thousand: python -m bench.worst_turn [--rounds 10000].

One client takes turns in eight conversations, by turns with the floor, on a server whose commits
wait for the disk, while the search index is kept up beside it and Postgres cleans up by itself. Of
each is said how long it took, and what of that its backend was on a core: the rest is the disk, the
client, and a machine that does something else.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import NamedTuple

import psycopg

from bench.cpu import cpu_of, waited_of
from bench.database import Floor, server_with_schema, take_turn
from bench.frame import Figure, Report, Work, figure_of, rounds_of
from tests.support.sql_calls import Caller, make_account, make_conversation

CONVERSATIONS = 8
WARM_UP = 50
SHARES = {"the median": 0.5, "1 in 100": 0.99, "1 in 1,000": 0.999, "the worst": 1.0}


class Taken(NamedTuple):
    """What one call took, in milliseconds: in all, on a core, and ready without a core."""

    time: float
    cpu: float
    queued: float


def main() -> None:
    """Run a server of its own, measure, remove it."""
    with (
        Report("worst_turn", rounds_of(__doc__, 10_000)) as report,
        server_with_schema(is_durable=True) as server,
        psycopg.connect(server.url(), autocommit=True) as db,
    ):
        turns = report.rounds
        user_id, floor, caller = make_account(db), Floor(db), Caller(db)
        chats = cycle([make_conversation(db, user_id) for _ in range(CONVERSATIONS)])
        sides: dict[str, Work] = {
            "floor": floor.turn,
            "turn": lambda: take_turn(caller, user_id, next(chats)),
        }
        for _ in range(100):
            sides["turn"]()
        db.execute("analyze")  # as autovacuum does in the first minute
        with indexed_beside(server.url(), user_id):
            taken = take(db.info.backend_pid, sides, turns)
        for name, what in (("time", "time"), ("cpu", "CPU of the backend")):
            figures = [figure for side in sides for figure in worst(side, name, taken)]
            report.add(f"{what}, {turns} turns by one client", figures)
        for side, calls in taken.items():
            print(f"\n  the longest of {side}, in ms: " + ", ".join(map(_told, sorted(calls)[-5:])))


def take(pid: int, sides: dict[str, Work], turns: int) -> dict[str, list[Taken]]:
    """Call the sides by turns; return what each call took."""
    taken: dict[str, list[Taken]] = {side: [] for side in sides}
    for number in range(-WARM_UP, turns):
        for side, work in sides.items():
            started, cpu, queued = time.perf_counter(), cpu_of(pid), waited_of(pid)
            work()
            ended = time.perf_counter()
            call = (ended - started, cpu_of(pid) - cpu, waited_of(pid) - queued)
            if number >= 0:
                taken[side].append(Taken(*(seconds * 1000 for seconds in call)))
    return taken


def worst(side: str, what: str, taken: dict[str, list[Taken]]) -> Iterator[Figure]:
    """Yield a figure for each share of the calls of a side, the turn's against the floor's."""
    values, least = (sorted(getattr(t, what) for t in taken[name]) for name in (side, "floor"))
    for name, share in SHARES.items():
        at = min(int(len(values) * share), len(values) - 1)
        against = None if side == "floor" else [[least[at]]]
        yield figure_of(f"{side}, {name}", "ms", [[values[at]]], against, "floor")


@contextmanager
def indexed_beside(db_url: str, user_id: str) -> Iterator[None]:
    """Take the search index on once a second, as the sweeper does, on a connection of its own."""
    over = threading.Event()

    def keep_up() -> None:
        with psycopg.connect(db_url, autocommit=True) as db:
            while not over.wait(1):
                while Caller(db).call("index_messages", user_id=user_id)["more"]:
                    pass

    thread = threading.Thread(target=keep_up)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _told(call: Taken) -> str:
    return f"{call.time:.1f} (on a core {call.cpu:.1f}, without one {call.queued:.1f})"


if __name__ == "__main__":
    main()
