"""Local stacks for tests: on free ports, in a temporary folder, gone afterwards.

The folders are not pytest's: as root, Postgres runs as another system user, and every start of
pytest takes its folders away from all others.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from local.ports import Ports
from local.settings import LocalSettings
from local.stack import Stack

# Below the ports that systems give to outgoing connections: one of those could take the port of a
# server that is killed, before it is started again. Each worker of a test run has its own, so that
# none takes one that another is about to listen on.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
LISTENING = range(12_000 + WORKER % 16, 32_000, 16)
# One stack serves tests that have nothing to do with each other: the limit of one small project
# would close the channels of some for what others send.
WITHOUT_LIMITS = {"LOCAL_REALTIME_EVENTS_PER_SECOND": "100000"}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, all different."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = secrets.choice(LISTENING)
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def settings_in(home: Path) -> LocalSettings:
    """Return settings of a new stack in this folder."""
    return LocalSettings(home=home, env_file=home / ".env.local", ports=Ports(*free_ports(4)))


def temporary_home() -> Path:
    """Make a folder for a stack."""
    return Path(tempfile.mkdtemp(prefix="message-persistence-"))


@contextlib.contextmanager
def running_stack(**environment: str) -> Iterator[Stack]:
    """Run a stack of one's own, which may be broken at will."""
    home = temporary_home()
    stack = Stack(settings_in(home), with_seed=False, environment={**WITHOUT_LIMITS, **environment})
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home, ignore_errors=True)


def shared_among_workers(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of a test run have in common."""
    base = factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


@contextlib.contextmanager
def shared_stack(root: Path, name: str, **environment: str) -> Iterator[Stack]:
    """Share a stack of this name among the test processes that have a folder in common.

    The first one starts it, the last one stops it.
    """
    users = root / f"{name}.json"
    lock = FileLock(root / f"{name}.lock")
    with lock:
        state: dict[str, Any] = json.loads(users.read_text()) if users.exists() else {"count": 0}
        if state["count"] == 0:
            state["ports"] = free_ports(4)
            state["home"] = str(temporary_home())
        home = Path(state["home"])
        settings = LocalSettings(home, home / ".env.local", Ports(*state["ports"]))
        stack = Stack(settings, with_seed=False, environment={**WITHOUT_LIMITS, **environment})
        if state["count"] == 0:
            try:
                stack.up()
            except BaseException:
                stack.down()
                raise
        state["count"] += 1
        users.write_text(json.dumps(state))
    try:
        yield stack
    finally:
        with lock:
            state = json.loads(users.read_text())
            state["count"] -= 1
            users.write_text(json.dumps(state))
            if state["count"] == 0:
                stack.down()
                shutil.rmtree(home, ignore_errors=True)
