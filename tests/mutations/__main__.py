"""Breaks the heart in known ways, each in a copy of the tree: its unit tests have to turn red."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TESTS = ("tests/unit/turns", "tests/contract")


class Mutation(NamedTuple):
    """A mistake that somebody could make: this text of a file becomes that."""

    name: str
    file: str
    old: str
    new: str


TURNS = "shared/turns"
MUTATIONS = (
    Mutation("a worker ignores that it was refused", f"{TURNS}/worker.py",
             "                raise TurnLostError\n", "                return done\n"),
    Mutation("a worker ignores that it has lost", f"{TURNS}/heartbeat.py",
             "running.lost.set()", "pass"),
    Mutation("the store lets every attempt complete", "tests/support/in_memory_store.py",
             " and turn.attempt == done[\"attempt\"]", ""),
    Mutation("leases are not renewed", f"{TURNS}/heartbeat.py",
             "await self._extend(batch)", "pass"),
    Mutation("a turn that has ended is settled again", f"{TURNS}/running_turn.py",
             "if not self.settled.done():\n            self.settled.set_exception(exc)",
             "if exc:\n            self.settled = asyncio.Future()\n"
             "            self.settled.set_exception(exc)"),
    Mutation("each try to complete is another message", f"{TURNS}/worker.py",
             "message_id=message_id,", "message_id=uuid4(),"),
    Mutation("the last text is lost until a status follows", f"{TURNS}/draft.py",
             "if len(text) > start - offset:", "if False:"),
    Mutation("the last text of another process's turn is lost", f"{TURNS}/follow.py",
             "    if rest:\n", "    if False:\n"),
    Mutation("a turn is adopted without its new attempt", f"{TURNS}/running_turn.py",
             "        self.record = record\n", "        pass\n"),
    Mutation("a turn is worked on twice instead of adopted", f"{TURNS}/begin.py",
             "if older is not None and older.is_worked_on:", "if False:"),
    Mutation("a worker that has lost the turn is handed it again", f"{TURNS}/begin.py",
             "if older is not None and older.is_worked_on:", "if older is not None:"),
    Mutation("an attempt is ended by what was said of the one before", f"{TURNS}/heartbeat.py",
             "turn is None or extension.attempt != running.attempt", "turn is None"),
    Mutation("a turn is forgotten on success only", f"{TURNS}/registry.py",
             "        self.forget(running)\n\n    def start",
             "        running.settled.exception() or self.forget(running)\n\n    def start"),
    Mutation("with a lost worker the next attempt is forgotten", f"{TURNS}/registry.py",
             "if self._running.get(running.id) is running:", "if running.id in self._running:"),
    Mutation("the reply is stored before listeners have the rest", f"{TURNS}/worker.py",
             "await self._live_events.finish(running)", "pass"),
    Mutation("text is sent beyond the project's budget", f"{TURNS}/event_budget.py",
             "return 0 if self._owed else", "return"),
    Mutation("a turn takes more than its part of the budget", f"{TURNS}/event_budget.py",
             "max(here, self._registry.in_project)", "here"),
    Mutation("the first follower that leaves ends the reading for all", f"{TURNS}/followed.py",
             "if not self._readers:", "if self._reading:"),
    Mutation("a turn that nobody follows any more is kept", f"{TURNS}/followed.py",
             "del self._followed[record.turn.id]", "pass"),
    Mutation("a turn that is followed here is anybody's", f"{TURNS}/followed.py",
             " and followed.record.turn.user_id == user_id", ""),
    Mutation("the engine of a stopped turn goes on", f"{TURNS}/worker.py",
             "            writing.cancel()\n", ""),
    Mutation("a reply that is handed on counts twice", f"{TURNS}/begin.py",
             "running.earlier_tokens = older.earlier_tokens", "pass"),
    Mutation("a begin whose answer was lost is begun under another id", f"{TURNS}/begin.py",
             "self._in_doubt.keep(key, begin)", "pass"),
)  # fmt: skip


def is_noticed(mutation: Mutation, tree: Path) -> bool:
    """Run the tests on a tree with this mistake in it; say whether one failed."""
    path = tree / mutation.file
    right = path.read_text()
    if right.count(mutation.old) < 1:
        sys.exit(f"{mutation.file} no longer has what {mutation.name!r} changes")
    path.write_text(right.replace(mutation.old, mutation.new))
    try:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-qx",
            "-p",
            "no:schemathesis",
            "-m",
            "not stack",
            *TESTS,
        ]
        return subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode == 1
    finally:
        path.write_text(right)


def main() -> int:
    """Try each mutation; return how many went unnoticed."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        skipped = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, tree, ignore=skipped, symlinks=True)
        for mutation in MUTATIONS:
            noticed = is_noticed(mutation, tree)
            unnoticed += not noticed
            print("red      " if noticed else "UNNOTICED", mutation.name, flush=True)
    return unnoticed


if __name__ == "__main__":
    sys.exit(main())
