"""PgBouncer in front of a test's Postgres, where this machine has it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from local import postgres
from local.processes import Part
from tests.support.stack import free_ports

PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="needs PgBouncer (Debian: apt-get install pgbouncer)"
)

SETTINGS = """
[databases]
postgres = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
server_login_retry = 0.2
"""


@contextlib.contextmanager
def pgbouncer(url: str, *, mode: str = "transaction", size: int = 4) -> Iterator[str]:
    """Pool connections to the database at this URL; give the URL of the pool."""
    assert PROGRAM is not None
    there, (port,) = urlsplit(url), free_ports(1)
    home = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    home.chmod(0o755)
    users = home / "users.txt"
    users.write_text(f'"{there.username}" "{there.password}"\n')
    settings = home / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(
            host=there.hostname, port=there.port, own_port=port, users=users, mode=mode, size=size
        )
    )
    pooled = there._replace(netloc=there.netloc.replace(f":{there.port}", f":{port}")).geturl()
    part = Part(
        name="pgbouncer",
        command=[PROGRAM, str(settings)],
        port=port,
        is_ready=lambda: postgres.accepts_connections(pooled),
        run_dir=home / "run",
        log_dir=home / "logs",
        cwd=Path("/"),
        user=postgres.SYSTEM_USER if os.geteuid() == 0 else None,  # it refuses to run as root
    )
    try:
        part.begin()
        part.wait_until_ready()
        yield pooled
    finally:
        part.stop()
        shutil.rmtree(home, ignore_errors=True)


def server_processes(db: psycopg.Connection) -> int:
    """Count the connections that the login role has at the server."""
    query = "select count(*) from pg_stat_activity where usename = 'message_persistence'"
    row = db.execute(query).fetchone()
    assert row is not None
    return int(row[0])
