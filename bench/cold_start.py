"""What a start costs: python -m bench.cold_start [--rounds 7] [names].

From a fresh process to its first answer: the bundle, each endpoint alone, and an empty app on the
same HTTP layer with the same Supabase client. The sides take turns; the figures are medians. CPU
time is given as well: it is what other work on the machine disturbs least. Bytecode is warm.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from functions.app import ENDPOINTS
from local.settings import ROOT

EMPTY = """
import sys
import uvicorn
from fastapi import FastAPI
from supabase import AsyncClient, AsyncClientOptions

app = FastAPI()
client = AsyncClient("http://127.0.0.1:9", "sb_secret_x", AsyncClientOptions())


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
"""
EMPTY_APP = "empty app"
SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("names", nargs="*", help="what to start beside the empty app")
    options = parser.parse_args()
    rounds, wanted = options.rounds, {EMPTY_APP, *options.names}
    commands = {n: c for n, c in sides() if n in wanted or not options.names}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first one warms the disk up
        for name, command in commands.items():
            measured = start(command)
            taken[name] += [measured] if number else []
    report(taken)


def sides() -> Iterator[tuple[str, list[str]]]:
    """Yield what is started, by name."""
    yield EMPTY_APP, ["-c", EMPTY]
    yield "the bundle", ["-m", "functions", "--port"]
    for endpoint in ENDPOINTS:
        yield endpoint, ["-m", "functions", endpoint, "--port"]


def start(command: list[str]) -> tuple[float, float]:
    """Start a process, wait for its first answer, end it; return seconds, and of CPU."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, str(port)], env=SETTINGS, cwd="/", stdout=subprocess.DEVNULL
    )
    while not answers(port):
        assert process.poll() is None, "it did not start"
        time.sleep(0.005)
    taken = time.perf_counter() - began
    process.kill()
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def answers(port: int) -> bool:
    """Say whether health answers on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(12) == b"HTTP/1.1 200"
    except ConnectionError:
        return False


def report(taken: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians, and their ratios to the empty app."""
    medians = {
        name: [statistics.median(values) for values in zip(*times, strict=True)]
        for name, times in taken.items()
    }
    wall, cpu = medians[EMPTY_APP]
    print(f"{'':20} {'first answer':>14} {'ratio':>6} {'CPU':>9} {'ratio':>6}")
    for name, (seconds, of_cpu) in medians.items():
        print(
            f"{name:20} {seconds * 1000:11.0f} ms {seconds / wall:6.2f}"
            f" {of_cpu * 1000:6.0f} ms {of_cpu / cpu:6.2f}"
        )


if __name__ == "__main__":
    main()
