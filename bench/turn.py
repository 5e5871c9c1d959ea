"""A turn against the least that could be done: python -m bench.turn [--rounds 300].

In SQL: begin_turn and complete_turn against two inserts and a select of fifty, each its own
commit. Over HTTP: one mega-mind turn with an instant engine, by both roads to the store, against
the same and against two empty calls of the Data API; and the CPU time that it takes of the
process. All calls are made over plain sockets: what an HTTP library takes on the caller's side is
no price of ours.
"""

from functools import partial

import psutil
import psycopg

from bench.client import HttpCaller
from bench.database import DEFAULT_HISTORY, Floor, WarmProcess, conversation_of, take_turn
from bench.frame import RUNS, Report, Work, figure_of, in_milliseconds, rounds_of, side_by_side
from bench.stack import HttpUser, further_process, instant_stack
from tests.support.sql_calls import Caller, make_account

SIZES = (10, 1_000, 10_000, 100_000)
OTHERS = 500


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with (
        Report("turn", rounds_of(__doc__, 300)) as report,
        instant_stack() as stack,
        psycopg.connect(stack.settings.db_url, autocommit=True) as db,
    ):
        user, floor = HttpUser(stack), Floor(db)
        in_sql(db, user.id, floor, report)
        grown = conversation_of(db, user.id, 1000)
        db.execute("vacuum analyze")
        with further_process(stack) as data_api, further_process(stack, is_direct=True) as direct:
            roads = {
                "the Data API": HttpCaller(data_api, user.headers),
                "Postgres itself": HttpCaller(direct, user.headers),
            }
            over_http(user, floor, roads, grown, report)


def in_sql(db: psycopg.Connection, user_id: str, floor: Floor, report: Report) -> None:
    """Time a turn's two calls on one connection, in conversations of each size."""
    caller = Caller(db)
    # Of a table of one page Postgres reads all, and goes on to while it grows.
    for _ in range(OTHERS):
        conversation_of(db, make_account(db), 20)
    sides: dict[str, Work] = {"floor: two inserts, a select of 50": floor.turn}
    for size in SIZES:
        conversation = conversation_of(db, user_id, size)
        sides[f"turn, history of 50, {size} messages"] = partial(
            take_turn, caller, user_id, conversation
        )
    sides["turn, 100,000 tokens of history, 1000 messages"] = partial(
        take_turn, caller, user_id, conversation_of(db, user_id, 1000), DEFAULT_HISTORY
    )
    warm = WarmProcess(caller, user_id, conversation_of(db, user_id, 1000))
    sides["the same, by a process that has them"] = warm.turn
    db.execute("vacuum analyze")
    report.time("a turn in SQL", sides)


def over_http(
    user: HttpUser, floor: Floor, roads: dict[str, HttpCaller], grown: str, report: Report
) -> None:
    """Time turns with an instant engine by each road, and what they take of the process."""
    data_api = HttpCaller(str(user.http.base_url), user.service)
    gateway = HttpCaller(str(user.http.base_url), user.headers)
    sides: dict[str, Work] = {
        "floor: two inserts, a select of 50": floor.turn,
        "two empty calls of the Data API": partial(two_empty_calls, data_api),
    }
    for road, functions in roads.items():
        sides[f"turn over HTTP, {road}, new"] = partial(take_http_turn, functions)
        sides[f"turn over HTTP, {road}, 1000 messages"] = partial(take_http_turn, functions, grown)
    sides["turn through the gateway, the Data API, new"] = partial(
        take_http_turn, gateway, path="/functions/v1/mega-mind"
    )
    times = side_by_side(sides, report.rounds)
    report.add("a turn over HTTP", in_milliseconds(times))
    figures = in_milliseconds(times, "two empty calls of the Data API")
    report.add("the same, against two empty calls", figures[2:])
    cpu = [
        figure_of(f"a turn, {road}", "ms", cpu_of(functions, report.rounds))
        for road, functions in roads.items()
    ]
    report.add("CPU of the process", cpu)


def take_http_turn(
    functions: HttpCaller, conversation_id: str | None = None, *, path: str = "/mega-mind"
) -> None:
    """POST mega-mind."""
    functions.post(path, {"request": "Hello", "conversationId": conversation_id})


def two_empty_calls(data_api: HttpCaller) -> None:
    """Call an SQL function that does nothing, twice."""
    for _ in range(2):
        data_api.empty_call()


def cpu_of(functions: HttpCaller, rounds: int) -> list[list[float]]:
    """Return the CPU time of a turn in milliseconds, the mean of each run."""
    process = listener(functions.port)
    runs = []
    for _ in range(RUNS):
        before = process.cpu_times()
        for _ in range(rounds // RUNS):
            take_http_turn(functions)
        after = process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        runs.append([spent / (rounds // RUNS) * 1000])
    return runs


def listener(port: int | None) -> psutil.Process:
    """Return the process that listens on a port."""
    listening = {
        tuple(connection.laddr)[1:]: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    return psutil.Process(listening[(port,)])


if __name__ == "__main__":
    main()
