"""The stack as a whole: which parts it has, in which order they start, and how it heals.

There is no supervisor. Each part is a background process with a pid file; starting the stack
starts whatever is down and leaves alone whatever answers.
"""

import contextlib
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import psutil
from dotenv import dotenv_values
from filelock import FileLock

from local import database, node, postgres
from local.errors import PartFailedError
from local.page import DIST
from local.ports import require_free_port
from local.processes import POLL_SECONDS, RECOVERY_SECONDS, Part
from local.settings import ROOT, LocalSettings

HEALTH_SECONDS = 20

Say = Callable[[str], None]


def _silent(_: str) -> None:
    return None


@dataclass
class Stack:
    """One local stack. `say` is called with a line for each thing that happens.

    `environment` is set for each of its parts, beside the stack's own.
    """

    settings: LocalSettings
    say: Say = _silent
    with_seed: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def up(self) -> None:
        """Start whatever is down and return when all of it answers.

        Raises LocalStackError with one clear line where a port is taken or a part fails; what
        this call has started is stopped then.
        """
        with self._lock():
            self.require_free_ports()
            self._install()
            with self._undone_on_failure():
                self.settings.keep()
                self._stop_changed_parts()
                self._start_database()
                self._start(self.gateway)
                self._prepare_database()
                self._start(self.realtime, self.functions)
                self._require_health()

    def require_free_ports(self) -> None:
        """Raise PortTakenError for the first port that is neither free nor this stack's own."""
        own = {part.running_port() for part in self.parts}
        for part in self.parts:
            if part.port not in own:
                require_free_port(part.port, part.name)

    def down(self) -> None:
        """Stop every part; the data stays."""
        with self._lock():
            for part in reversed(self.parts):
                if part.process() is not None:
                    self.say(f"stopping {part.name}")
                part.stop()
            self.settings.forget_ports()

    def reset(self) -> None:
        """Stop every part and remove the data; the keys stay."""
        self.down()
        with self._lock():
            for folder in ("postgres", "postgres.new"):
                shutil.rmtree(self.settings.home / folder, ignore_errors=True)
        self.say("removed the data")

    def dead_parts(self) -> list[Part]:
        """Return the parts whose process is gone."""
        return [part for part in self.parts if part.process() is None]

    @property
    def parts(self) -> list[Part]:
        """Every part, in the order they start."""
        return [self.db, self.gateway, self.realtime, self.functions]

    @cached_property
    def db(self) -> Part:
        """PostgreSQL."""
        return postgres.postgres_part(self.settings)

    @cached_property
    def gateway(self) -> Part:
        """The one origin, with the Data API and Auth inside it."""
        return self._part(
            "api",
            [str(node.NODE), str(node.GATEWAY / "main.mjs")],
            port=self.settings.ports.api,
            ready_path="/",
        )

    @cached_property
    def realtime(self) -> Part:
        """The broadcast server."""
        port = self.settings.ports.realtime
        return self._part(
            "realtime",
            [sys.executable, "-m", "local.realtime", "--port", str(port)],
            port=port,
            ready_path="/realtime/v1/health",
        )

    @cached_property
    def functions(self) -> Part:
        """The bundle, as it is shipped."""
        port = self.settings.ports.functions
        return self._part(
            "functions",
            [sys.executable, "-m", "functions", "--port", str(port)],
            port=port,
            ready_path="/functions/v1/health",
            environment=_given_settings(),
        )

    def _part(
        self,
        name: str,
        command: list[str],
        *,
        port: int,
        ready_path: str,
        environment: Mapping[str, str] | None = None,
    ) -> Part:
        ports = self.settings.ports
        return Part(
            name=name,
            command=command,
            port=port,
            is_ready=lambda: _answers(f"http://127.0.0.1:{port}{ready_path}"),
            run_dir=self.settings.home / "run",
            log_dir=self.settings.home / "logs",
            cwd=ROOT,
            environment={
                **(environment or {}),
                "DATABASE_SCHEMA": "public",  # whatever an .env says of a project elsewhere
                **self.settings.environment(),
                **self.environment,
                "LOCAL_DB_URL": self.settings.db_url,
                "API_PORT": str(ports.api),
                "FUNCTIONS_URL": f"http://127.0.0.1:{ports.functions}",
                "REALTIME_URL": f"http://127.0.0.1:{ports.realtime}",
                "WEB_DIST": str(DIST),
                "DO_NOT_TRACK": "1",
                "PYTHONUNBUFFERED": "1",
            },
        )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.settings.home / "lock"):
            yield

    @contextlib.contextmanager
    def _undone_on_failure(self) -> Iterator[None]:
        """Stop what was started in here when the rest fails or is interrupted."""
        before = {part.name: part.process() for part in self.parts}
        try:
            yield
        except BaseException:
            for part in reversed(self.parts):
                if part.process() is None or part.process() != before[part.name]:
                    part.stop()
            if len(self.dead_parts()) == len(self.parts):
                self.settings.forget_ports()
            raise

    def _stop_changed_parts(self) -> None:
        """Stop what runs with another environment: on other ports, or with other settings."""
        for part in reversed(self.parts):
            if part.process() is not None and not part.is_current():
                self.say(f"stopping {part.name}: its settings have changed")
                part.stop()

    def _install(self) -> None:
        if node.install_gateway():
            self.say("installed the gateway's packages")

    def _start_database(self) -> None:
        postgres.prepare_system_user()
        if postgres.prepare_data_folder(self.settings):
            self.say("made an empty database")
        postgres.forget_ended_server(self.settings.home / "postgres")
        self._start(self.db)

    def _prepare_database(self) -> None:
        database.shape(self.settings.db_url)
        applied = database.migrate(self.settings.db_url)
        if applied:
            self.say(f"applied {len(applied)} migrations")
        if self.with_seed and database.seed(self.settings.db_url):
            self.say("added the example conversation")

    def _require_health(self) -> None:
        """Ask the functions for the store behind them: each part between has to work for that."""
        if self._becomes_healthy(RECOVERY_SECONDS):
            return
        # After a crash of the database the Data API may be left with connections that hang.
        self.gateway.stop()
        self._start(self.gateway)
        if not self._becomes_healthy(HEALTH_SECONDS):
            raise PartFailedError(
                "The functions can't reach the store: see the logs, or try `make reset`."
            )

    def _becomes_healthy(self, seconds: float) -> bool:
        url = f"{self.settings.url}/functions/v1/health?deep=1"
        deadline = time.monotonic() + seconds
        while not _answers(url):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _start(self, *parts: Part) -> None:
        # Started together, waited for one by one: on a small machine that halves the wait.
        waiting = [part for part in parts if part.begin()]
        for part in parts:
            part.wait_until_ready()
        for part in waiting:
            self.say(f"started {part.name} on port {part.port}")


def _given_settings() -> dict[str, str]:
    """Return the bundle's settings that stand in the environment or in .env."""
    names = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    given = {**dotenv_values(ROOT / ".env"), **os.environ}
    return {name: value for name in names if (value := given.get(name)) is not None}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def processes_left_in(settings: LocalSettings) -> list[psutil.Process]:
    """Return the processes that still run from a stack's folder: none after `down`."""
    home = str(settings.home)
    return [
        p for p in psutil.process_iter(["cmdline"]) if home in " ".join(p.info["cmdline"] or [])
    ]
