"""The lock of a server that was killed is no reason not to start another."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.postgres import forget_ended_server


def test_a_server_that_waits_to_be_reaped_has_ended(tmp_path: Path) -> None:
    """Its process is there for whoever asks for its id alone, as Postgres does."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    lock = tmp_path / "postmaster.pid"
    lock.write_text(f"{ended.pid}\n/data\n")
    forget_ended_server(tmp_path)
    ended.wait()
    assert not lock.exists()


@pytest.mark.parametrize(
    "text",
    [f"{os.getpid()}\n/data\n", "2147483000\n", "", "no number"],
    ids=["running", "none", "empty", "no number"],
)
def test_any_other_lock_is_left_to_postgres(tmp_path: Path, text: str) -> None:
    """One of a running process, of none, or of nobody knows."""
    lock = tmp_path / "postmaster.pid"
    lock.write_text(text)
    forget_ended_server(tmp_path)
    assert lock.read_text() == text


def test_no_lock_is_no_error(tmp_path: Path) -> None:
    """As before the first start."""
    forget_ended_server(tmp_path)
