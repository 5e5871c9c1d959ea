"""What a test run starts and makes is gone with it, also when it is interrupted.

A worker that is interrupted ends at once and gives nothing back. So a run has one folder for all
that is temporary, its processes are known by it, and the run's first process ends and removes both.
"""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.processes import wait_for_end

FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its folder, which workers and all that they start inherit."""
    if hasattr(config, "workerinput"):
        return
    for interruption in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(interruption, signal.default_int_handler)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # pytest keeps its own
    folder = Path(tempfile.mkdtemp(prefix="message-persistence-tests-"))
    folder.chmod(0o711)  # as root, Postgres runs as another system user
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    config.stash[FOLDER] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what still runs, and remove the folder."""
    folder = config.stash.get(FOLDER, None)
    if folder is None:
        return
    left = [*_started_in(folder)]
    for process in left:
        _send(process, signal.SIGINT)  # on which Postgres doesn't wait for its clients
    for process in wait_for_end(left):
        _send(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _started_in(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.pid != os.getpid():
                yield process
        except psutil.Error:  # another user's, or ended just now
            continue


def _send(process: psutil.Process, sent: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(sent)
