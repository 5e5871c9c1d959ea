"""Background processes that outlive the command that started them, found again by a pid file."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local.errors import PartFailedError, PortTakenError

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
        """Return the running process that an earlier start left, if it is still that one."""
        try:
            known = json.loads(self.pid_file.read_text())
            process = psutil.Process(known["pid"])
            same = abs(process.create_time() - known["created"]) < 1
        except (OSError, ValueError, KeyError, psutil.Error):
            return None
        return process if same and is_alive(process) else None

    def begin(self) -> bool:
        """Start the process unless it runs and answers; return whether it had to be started."""
        if self.process() is not None:
            if self._recovers():
                return False
            self.stop()
        require_free_port(self.port, self.name)
        self.spawn()
        return True

    def _recovers(self) -> bool:
        """Say whether a running part answers: a part it needs may have come back just now."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not self.is_ready():
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
        created = psutil.Process(child.pid).create_time()
        self.pid_file.write_text(json.dumps({"pid": child.pid, "created": created}))

    def wait_until_ready(self) -> None:
        """Return once the part answers; raise PartFailedError if it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.is_ready():
                return
            if self.process() is None:
                raise PartFailedError(f"{self.name} ended at once: {self.last_words()}")
            time.sleep(POLL_SECONDS)
        raise PartFailedError(
            f"{self.name} is not ready after {START_SECONDS} s: see {self.log_file}"
        )

    def last_words(self) -> str:
        """Return the last line of the log, which is where a program says why it ended."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines() or ["no output"]
        return f"{lines[-1][:300]} (log: {self.log_file})"

    def stop(self) -> None:
        """End the process and its children: asked first, then made to."""
        process = self.process()
        if process is not None:
            stop_processes(process, self.stop_signal)
        self.pid_file.unlink(missing_ok=True)


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


def require_free_port(port: int, name: str) -> None:
    """Raise PortTakenError, naming the holder where it can be seen, unless the port is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            pass
        else:
            return
    raise PortTakenError(
        f"Port {port}, which {name} needs, is taken{_holder_of(port)}: "
        f"stop that program or choose another with {name.upper()}_PORT."
    )


def _holder_of(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            here = connection.laddr and connection.laddr.port == port
            if listening and here and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
