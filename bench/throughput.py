"""Turns a second: python -m bench.throughput [--rounds 600], turns of each run.

Over HTTP by sixteen callers with an instant engine, on one process and on two; in SQL by eight
clients. All of it, the callers too, runs on this machine.
"""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psycopg

from bench.client import connect
from bench.database import conversation_of, take_turn
from bench.frame import RUNS, Figure, Report, figure_of, rounds_of
from bench.stack import further_process, instant_stack
from local.stack import Stack
from tests.support.sql_calls import Caller, make_account
from tests.support.users import User, make_user

CALLERS = 16
CLIENTS = 8


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with Report("throughput", rounds_of(__doc__, 600)) as report, instant_stack() as stack:
        turns = report.rounds
        for road, is_direct in (("the Data API", False), ("Postgres itself", True)):
            with (
                further_process(stack, is_direct=is_direct) as first,
                further_process(stack, is_direct=is_direct) as second,
            ):
                title = f"turns a second over HTTP, 16 callers, {road}"
                report.add(title, over_http(stack, first, second, turns))
        report.add("turns a second in SQL, 8 clients", in_sql(stack, turns))


def over_http(stack: Stack, first: str, second: str, turns: int) -> list[Figure]:
    """Let the callers take turns on one process, then on two, and again."""

    async def measure() -> list[Figure]:
        users = [await make_user(stack) for _ in range(CALLERS)]
        await _rate([first, second], users, CALLERS * 2)
        one, two = [], []
        for _ in range(RUNS):
            one.append([await _rate([first], users, turns)])
            two.append([await _rate([first, second], users, turns)])
        return [
            figure_of("one process", "turns/s", one),
            figure_of("two processes", "turns/s", two, one, "one process"),
        ]

    return asyncio.run(measure())


async def _rate(urls: list[str], users: list[User], turns: int) -> float:
    callers = [await connect(urls[n % len(urls)], user) for n, user in enumerate(users)]
    left = iter(range(turns))

    async def take_turns(number: int) -> None:
        conversation = await callers[number].turn()
        for _ in left:
            await callers[number].turn(conversation)

    started = time.perf_counter()
    await asyncio.gather(*map(take_turns, range(len(callers))))
    for caller in callers:
        caller.writer.close()
    return turns / (time.perf_counter() - started)


def in_sql(stack: Stack, turns: int) -> list[Figure]:
    """Let clients take turns, each in a process and a conversation of its own."""
    each = partial(_turns_per_second, stack.settings.db_url, turns // CLIENTS)
    with ProcessPoolExecutor(CLIENTS) as pool:
        rates = [[sum(pool.map(each, range(CLIENTS)))] for _ in range(RUNS + 1)]
    return [figure_of("eight clients", "turns/s", rates[1:])]


def _turns_per_second(db_url: str, turns: int, _: int) -> float:
    with psycopg.connect(db_url, autocommit=True) as db:
        user_id = make_account(db)
        conversation = conversation_of(db, user_id, 100)
        caller = Caller(db)
        started = time.perf_counter()
        for _ in range(turns):
            take_turn(caller, user_id, conversation)
        return turns / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
