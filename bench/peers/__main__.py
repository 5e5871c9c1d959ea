"""Others beside us: python -m bench.peers [--rounds 60] [names].

What each stores a turn with a history of fifty, in conversations of a thousand and of ten thousand
messages, on one Postgres. The others are installed into an environment of their own, in
.local/peers. All sides are processes that take turns; each says what its turn took. Some can read
no less than all. It takes some minutes, most of them for google-adk's ten thousand messages, which
it takes one at a time.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from bench.frame import Report, in_milliseconds, side_by_side_timed
from bench.peers.worker import SIDES
from bench.stack import HttpUser, instant_stack
from local.settings import ROOT

PLACE = ROOT / ".local" / "peers"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
SIZES = (1_000, 10_000)
OURS = {name for name, (module, _) in SIDES.items() if module == "ours"}


class Side:
    """A side's process, which is asked for one thing at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, verb: str, size: int) -> None:
        """Have something done; `answer` waits for it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as `answer` says too
            self._process.stdin.write(f"{verb} {size}\n")

    def ask(self, verb: str, size: int) -> float:
        """Have it done; return the seconds that it took there."""
        self.begin(verb, size)
        return float(self.answer())

    def answer(self) -> str:
        """Return the next line that it says; raise EOFError where it has ended."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line.strip()
        raise EOFError


def main() -> None:
    """Install, start a stack of its own, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("names", nargs="*", help="by default all")
    options = parser.parse_args()
    python = installed()
    with (
        Report("peers", options.rounds) as report,
        instant_stack() as stack,
        ExitStack() as on,
    ):
        user = HttpUser(stack)
        own = {"BENCH_USER": user.id, "CHAINLIT_APP_ROOT": str(PLACE)}  # it makes a folder there
        environment = {**os.environ, **stack.settings.environment(), **own}
        sides = {}
        for name in options.names or SIDES:
            program = sys.executable if name in OURS else python
            command = [program, "-m", "bench.peers.worker", name, stack.settings.db_url]
            with suppress(EOFError):  # it said why on standard error
                sides[name] = on.enter_context(running(command, environment))
        compare(sides, report)


def installed() -> str:
    """Return the Python that has the others, which are installed if they aren't yet."""
    python = PLACE / "bin" / "python"
    uv = str(Path(sys.executable).parent / "uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", str(PLACE)], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(REQUIREMENTS)],
        check=True,
    )
    return str(python)


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[Side]:
    """Run a side until it isn't needed; raise EOFError where it can't start."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        side = Side(process)
        side.answer()
        yield side
    finally:
        process.kill()
        process.wait()


def compare(sides: dict[str, Side], report: Report) -> None:
    """Let all sides take turns in conversations of each size."""
    for size in SIZES:
        for side in sides.values():
            side.begin("fill", size)
        for name, side in list(sides.items()):
            try:
                side.answer()
            except EOFError:  # it said why on standard error
                print(f"  {name} is left out", file=sys.stderr)
                del sides[name]
        calls = {f"{name}, {size} messages": side for name, side in sides.items()}
        times = side_by_side_timed(
            {name: partial(side.ask, "turn", size) for name, side in calls.items()}, report.rounds
        )
        report.add(f"a turn, history of 50, {size} messages", in_milliseconds(times))


if __name__ == "__main__":
    main()
