"""Background processes that outlive the command that started them, found again by a pid file."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local.errors import PartFailedError
from local.ports import is_listening, require_free_port

START_SECONDS = 60
STOP_SECONDS = 10
RECOVERY_SECONDS = 5
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Part:
    """One process of the stack: how it is started, and how one sees that it is ready."""

    name: str
    command: Sequence[str]
    port: int
    is_ready: Callable[[], bool]
    run_dir: Path
    log_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid_file(self) -> Path:
        """Where the process that was started is remembered."""
        return self.run_dir / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.log_dir / f"{self.name}.log"

    def process(self) -> psutil.Process | None:
        """Return the running process that an earlier start left, if it is still that one.

        It is known by its arguments, which name its port: when it was started can't say, since
        that is counted from the machine's clock, which may be set at any time.
        """
        record = self._record()
        try:
            process = psutil.Process(record["pid"])
            same = process.cmdline()[1:] == record["arguments"]
        except (KeyError, TypeError, psutil.Error):
            return None
        return process if same and is_alive(process) else None

    def running_port(self) -> int | None:
        """Return the port that the running process was started on; None where none runs."""
        return self._record().get("port") if self.process() is not None else None

    def is_current(self) -> bool:
        """Say whether the last start was with this command and this environment."""
        return self._record().get("fingerprint") == self._fingerprint()

    def answers(self) -> bool:
        """Say whether it is ready, and whether it is this part that answers on the port."""
        process = self.process()
        return process is not None and is_listening(process, self.port) and self.is_ready()

    def begin(self) -> bool:
        """Start the process unless it runs as described; return whether it had to be started."""
        if self.process() is not None:
            if self.is_current() and self._recovers():
                return False
            self.stop()
        require_free_port(self.port, self.name)
        self.spawn()
        return True

    def _recovers(self) -> bool:
        """Say whether a running part answers: a part it needs may have come back just now."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not self.answers():
            if time.monotonic() > deadline or self.process() is None:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def spawn(self) -> None:
        """Start the process, detached from this one, and remember it."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.cwd,
                start_new_session=True,
                **as_user(self.user),
            )
        record = {
            "pid": child.pid,
            "arguments": list(self.command[1:]),
            "port": self.port,
            "fingerprint": self._fingerprint(),
        }
        self.pid_file.write_text(json.dumps(record))
        self._wait_for_arguments(child)

    def _wait_for_arguments(self, child: subprocess.Popen[bytes]) -> None:
        """Return once a new process shows what it is known by: for a moment it shows nothing."""
        deadline = time.monotonic() + START_SECONDS
        while child.poll() is None and self.process() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def wait_until_ready(self) -> None:
        """Return once the part answers; raise PartFailedError if it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.answers():
                return
            if self.process() is None:
                raise PartFailedError(f"{self.name} ended at once: {self.last_log_line()}")
            time.sleep(POLL_SECONDS)
        raise PartFailedError(
            f"{self.name} is not ready after {START_SECONDS} s: {self.last_log_line()}"
        )

    def last_log_line(self) -> str:
        """Return the last line of the log, which is where a program says why it ended."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines() or ["no output"]
        return f"{lines[-1][:300]} (log: {self.log_file})"

    def stop(self) -> None:
        """End the process and its children: asked first, then made to."""
        process = self.process()
        if process is not None:
            stop_processes(process, self.stop_signal)
        self.pid_file.unlink(missing_ok=True)

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads(self.pid_file.read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _fingerprint(self) -> str:
        started_with = [list(self.command), sorted(self.environment.items()), str(self.cwd)]
        return hashlib.sha256(json.dumps(started_with).encode()).hexdigest()


def as_user(name: str | None) -> dict[str, Any]:
    """Return what subprocess needs to run a program as another system user (root only)."""
    return {"user": name, "group": name, "extra_groups": []} if name else {}


def stop_processes(main: psutil.Process, stop_signal: signal.Signals) -> None:
    """End a process that takes its children along: asked first, then made to."""
    family = [main, *main.children(recursive=True)]
    with contextlib.suppress(psutil.Error):
        main.send_signal(stop_signal)
    for process in wait_for_end(family):
        with contextlib.suppress(psutil.Error):
            process.kill()
    wait_for_end(family)


def wait_for_end(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Wait until these have ended, reaped or not; return those that haven't in time."""
    deadline = time.monotonic() + STOP_SECONDS
    while (alive := [p for p in processes if is_alive(p)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Say whether a process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
