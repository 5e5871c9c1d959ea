"""Two hundred streams at once on one process: python -m bench.stream [--rounds 200].

Each reply is a hundred pieces, a tenth of a second apart: ten seconds if all else took no time.
"""

import asyncio
import statistics

from bench.client import connect
from bench.frame import RUNS, Figure, Report, figure_of, rounds_of
from bench.stack import further_process, instant_stack
from local.stack import Stack
from shared.shares import TURNS_EACH
from tests.support.users import User, make_user

PIECES = 100
IDEAL = PIECES / 10


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with Report("stream", rounds_of(__doc__, 200)) as report, instant_stack() as stack:
        streams = report.rounds
        for road, is_direct in (("the Data API", False), ("Postgres itself", True)):
            with further_process(stack, "--pieces", str(PIECES), is_direct=is_direct) as url:
                runs = asyncio.run(measure(stack, url, streams))
            report.add(f"{streams} streams of {PIECES} pieces, {road}", figures(runs))


def figures(runs: list[tuple[list[float], list[float]]]) -> list[Figure]:
    """Sum up when first events and ends came."""
    ideal = [[IDEAL]] * RUNS
    return [
        figure_of("ideal", "s", ideal),
        figure_of("until the last one ended", "s", [[run[-1]] for _, run in runs], ideal),
        figure_of("a stream, median", "s", [[statistics.median(run)] for _, run in runs]),
        figure_of("first event, 95 % of streams", "s", [[_p95(first)] for first, _ in runs]),
    ]


async def measure(stack: Stack, url: str, streams: int) -> list[tuple[list[float], list[float]]]:
    """Return in ascending order when first events and ends came, in each run."""
    users = [await make_user(stack) for _ in range(-(-streams // TURNS_EACH))]
    return [await _run(url, users, streams) for _ in range(RUNS)]


async def _run(url: str, users: list[User], streams: int) -> tuple[list[float], list[float]]:
    connections = [await connect(url, users[n // TURNS_EACH]) for n in range(streams)]
    started = asyncio.get_running_loop().time()
    times = await asyncio.gather(*(connection.stream() for connection in connections))
    for connection in connections:
        connection.writer.close()
    first, last = (sorted(at - started for at in side) for side in zip(*times, strict=True))
    return first, last


def _p95(values: list[float]) -> float:
    return values[len(values) * 95 // 100]


if __name__ == "__main__":
    main()
