"""Local stacks for tests: on free ports, in a temporary folder, gone afterwards."""

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from local.settings import LocalSettings, Ports
from local.stack import Stack


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def settings_in(home: Path) -> LocalSettings:
    """Return settings of a new stack in this folder."""
    return LocalSettings(home=home, env_file=home / ".env.local", ports=Ports(*free_ports(4)))


@contextlib.contextmanager
def running_stack(home: Path) -> Iterator[Stack]:
    """Run a stack of one's own, which may be broken at will."""
    stack = Stack(settings_in(home), with_seed=False)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def shared_stack(root: Path) -> Iterator[Stack]:
    """Share one stack among the test processes: the first starts it, the last one stops it."""
    home = root / "shared-stack"
    users = root / "shared-stack.json"
    lock = FileLock(root / "shared-stack.lock")
    with lock:
        state = json.loads(users.read_text()) if users.exists() else {"count": 0}
        if state["count"] == 0:
            state["ports"] = free_ports(4)
        settings = LocalSettings(home, home / ".env.local", Ports(*state["ports"]))
        stack = Stack(settings, with_seed=False)
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
