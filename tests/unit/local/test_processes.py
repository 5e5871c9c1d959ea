"""A part of the stack: when it is left alone, when it is started again, and whether it answers."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psutil import Process

from local.errors import PartFailedError
from local.processes import Part
from tests.support.stack import free_ports


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    """A server that does nothing but listen."""
    (port,) = free_ports(1)
    listener = Part(
        name="listener",
        command=[sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)],
        port=port,
        is_ready=lambda: True,
        run_dir=tmp_path,
        log_dir=tmp_path,
        environment={"COLOUR": "green"},
    )
    yield listener
    listener.stop()


def test_what_runs_as_described_is_left_alone(part: Part) -> None:
    """A second start changes nothing."""
    assert part.begin()
    part.wait_until_ready()
    process = part.process()
    assert not part.begin()
    assert part.process() == process
    assert part.running_port() == part.port


def test_a_clock_that_is_set_takes_no_part_for_ended(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the machine was started, by its clock, is then another moment than before."""
    part.begin()
    part.wait_until_ready()
    read = Process.create_time
    for seconds in (-1, 1, 3600):
        monkeypatch.setattr(Process, "create_time", lambda p, by=seconds: read(p) + by)
        assert part.process() is not None


def test_a_process_that_shows_no_arguments_yet_has_not_ended(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lets its parent go on before it has written them down."""
    read, looks = Process.cmdline, iter(range(5))
    monkeypatch.setattr(Process, "cmdline", lambda p: read(p) if next(looks, None) is None else [])
    part.begin()
    part.wait_until_ready()
    assert part.process() is not None


def test_another_environment_starts_it_again(part: Part) -> None:
    """The process that runs has the old one."""
    part.begin()
    part.wait_until_ready()
    before = part.process()
    changed = replace(part, environment={"COLOUR": "blue"})
    assert part.is_current()
    assert not changed.is_current()
    assert changed.begin()
    changed.wait_until_ready()
    process = changed.process()
    assert process is not None
    assert process != before
    assert process.environ()["COLOUR"] == "blue"


def test_an_answer_from_somebody_elses_process_is_none(part: Part) -> None:
    """A part whose port another program took fails, however well that program answers."""
    with socket.create_server(("127.0.0.1", part.port)):
        part.spawn()
        assert not part.answers()
        with pytest.raises(PartFailedError, match="Address already in use"):
            part.wait_until_ready()


def test_a_stopped_part_leaves_no_record(part: Part) -> None:
    """Stopping it twice is fine."""
    part.begin()
    part.stop()
    part.stop()
    assert (part.process(), part.running_port()) == (None, None)
    assert not part.pid_file.exists()
