"""What a start costs: python -m bench.cold_start [--rounds 9].

From a fresh process to its first answer: the bundle, some endpoints alone, and an empty app on the
same HTTP layer with the same Supabase client. CPU time is given as well: it is what other work on
the machine disturbs least. Bytecode is warm.
"""

import os
import resource
import socket
import subprocess
import sys
import time
from functools import partial

from bench.frame import WARM_UP, Report, in_milliseconds, in_runs, rounds_of
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
SIDES = {
    "an empty app": ["-c", EMPTY],
    "the bundle": ["-m", "functions", "--port"],
    "mega-mind alone": ["-m", "functions", "mega-mind", "--port"],
    "load-conversation alone": ["-m", "functions", "load-conversation", "--port"],
}
SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
}


def main() -> None:
    """Measure and print."""
    with Report("cold_start", rounds_of(__doc__, 9)) as report:
        cpu: dict[str, list[float]] = {name: [] for name in SIDES}
        sides = {name: partial(start, command, cpu[name]) for name, command in SIDES.items()}
        report.time("until the first answer", sides)
        spent = {name: in_runs(values[WARM_UP:]) for name, values in cpu.items()}
        report.add("CPU until then", in_milliseconds(spent))


def start(command: list[str], cpu: list[float]) -> None:
    """Start a process, wait for its first answer, end it; note its CPU seconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, *command, str(port)], env=SETTINGS, cwd="/", stdout=subprocess.DEVNULL
    )
    while not answers(port):
        assert process.poll() is None, "it did not start"
        time.sleep(0.005)
    process.kill()
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def answers(port: int) -> bool:
    """Say whether health answers on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(12) == b"HTTP/1.1 200"
    except ConnectionError:
        return False


if __name__ == "__main__":
    main()
