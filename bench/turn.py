"""A turn against the least that could be done: python -m bench.turn [--rounds 300].

In SQL: begin_turn and complete_turn against two inserts and a select of fifty, each its own
commit. Over HTTP: one mega-mind turn with an instant engine, against the same and against two
empty calls of the Data API; and the CPU time that the functions' process takes for one.
"""

from functools import partial

import psutil
import psycopg

from bench.database import DEFAULT_HISTORY, Floor, conversation_of, take_turn
from bench.frame import RUNS, Report, Work, figure_of, in_milliseconds, rounds_of, side_by_side
from bench.stack import HttpUser, instant_stack
from local.stack import Stack
from tests.support.sql_calls import Caller

SIZES = (10, 1_000, 10_000, 100_000)


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    rounds, report = rounds_of(__doc__, 300), Report("turn")
    with instant_stack() as stack, psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        user, floor = HttpUser(stack), Floor(db)
        in_sql(db, user.id, floor, rounds, report)
        over_http(stack, db, user, floor, rounds, report)
    report.keep()


def in_sql(db: psycopg.Connection, user_id: str, floor: Floor, rounds: int, report: Report) -> None:
    """Time a turn's two calls on one connection, in conversations of each size."""
    caller = Caller(db)
    sides = {"floor: two inserts, a select of 50": floor.turn}
    for size in SIZES:
        conversation = conversation_of(db, user_id, size)
        sides[f"turn, history of 50, {size} messages"] = partial(
            take_turn, caller, user_id, conversation
        )
    sides["turn, 100,000 tokens of history, 1000 messages"] = partial(
        take_turn, caller, user_id, conversation_of(db, user_id, 1000), DEFAULT_HISTORY
    )
    db.execute("vacuum analyze")
    report.add("a turn in SQL", in_milliseconds(side_by_side(sides, rounds)))


def over_http(
    stack: Stack,
    db: psycopg.Connection,
    user: HttpUser,
    floor: Floor,
    rounds: int,
    report: Report,
) -> None:
    """Time turns with an instant engine, and what they take of the process."""
    process = psutil.Process(stack.functions.process().pid)  # type: ignore[union-attr]
    grown = conversation_of(db, user.id, 1000)
    db.execute("vacuum analyze")
    sides: dict[str, Work] = {
        "two empty calls of the Data API": partial(user.empty_calls, 2),
        "floor: two inserts, a select of 50": floor.turn,
        "turn over HTTP, a new conversation": user.take_turn,
        "turn over HTTP, 1000 messages": partial(user.take_turn, grown),
        "the same through the gateway": lambda: user.http.post(
            "/functions/v1/mega-mind", headers=user.headers, json={"request": "Hello"}
        ).raise_for_status(),
    }
    times = side_by_side(sides, rounds)
    report.add("a turn over HTTP, the Data API as the store", in_milliseconds(times))
    figures = in_milliseconds(times, "floor: two inserts, a select of 50")
    report.add("the same, against the floor", [f for f in figures if "turn" in f.name])
    report.add("CPU of the process", [figure_of("a turn", "ms", cpu_of(process, user, rounds))])


def cpu_of(process: psutil.Process, user: HttpUser, rounds: int) -> list[list[float]]:
    """Return the CPU time of a turn in milliseconds, the mean of each run."""
    runs = []
    for _ in range(RUNS):
        before = process.cpu_times()
        for _ in range(rounds // RUNS):
            user.take_turn()
        after = process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        runs.append([spent / (rounds // RUNS) * 1000])
    return runs


if __name__ == "__main__":
    main()
