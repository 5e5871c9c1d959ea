"""A standby of a bare server: a copy that follows it by streaming replication, and may lag."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from local.processes import as_user
from tests.support.postgres import Server
from tests.support.stack import free_ports


@contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """Copy a server and let the copy follow it, by streaming replication."""
    if not (primary.programs / "pg_basebackup").exists():
        pytest.skip("this Postgres has no pg_basebackup, as those of npm have none")
    home = Path(tempfile.mkdtemp(prefix="standby-postgres-"))
    home.chmod(0o755)
    data = home / "data"
    data.mkdir(mode=0o700)
    if primary.user is not None:
        owner = pwd.getpwnam(primary.user)
        os.chown(data, owner.pw_uid, owner.pw_gid)
    subprocess.run(
        [
            str(primary.programs / "pg_basebackup"), "-h127.0.0.1", f"-p{primary.port}", "-Uadmin",
            f"-D{data}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
        ],
        cwd="/", check=True, capture_output=True, **as_user(primary.user),
    )  # fmt: skip
    standby = replace(primary, home=home, port=free_ports(1)[0])
    try:
        standby.start()
        yield standby
    finally:
        standby.remove()


@contextmanager
def lagging(primary: Server) -> Iterator[None]:
    """Suspend what sends the primary's changes: its standby has none of those that come now."""
    with psycopg.connect(primary.url()) as connection:
        sending = connection.execute("select pid from pg_stat_replication").fetchone()
    assert sending is not None
    sender = psutil.Process(sending[0])
    sender.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            sender.resume()
