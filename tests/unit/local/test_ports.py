"""Ports: all follow one, a start keeps them, and one that is taken is named."""

import os
import socket
from pathlib import Path

import psutil
import pytest

from local import ports
from local.errors import LocalStackError, PortTakenError
from local.ports import API_PORT, Ports, is_free, is_listening, require_free_port


def test_without_a_wish_the_first_two_ports_are_the_supabase_clis() -> None:
    """So that other tools find the stack where they expect one."""
    assert Ports.following(API_PORT) == Ports(54321, 54322, 54331, 54332)


def test_every_port_follows_api_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting moves the whole stack."""
    monkeypatch.setenv("API_PORT", "20000")
    assert Ports.wanted() == Ports(20000, 20001, 20010, 20011)
    monkeypatch.setenv("API_PORT", "")
    assert Ports.wanted() is None


@pytest.mark.parametrize("text", ["x", "-1", "0", "65525", "1e3", "²"])
def test_an_api_port_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Also where only the ports behind it would be beyond the last."""
    monkeypatch.setenv("API_PORT", text)
    with pytest.raises(LocalStackError, match="API_PORT can't be"):
        Ports.wanted()


def test_ports_are_kept_and_found_again(tmp_path: Path) -> None:
    """What can't be read counts as nothing."""
    path = tmp_path / "ports.json"
    assert Ports.load(path) is None
    Ports(1, 2, 3, 4).save(path)
    assert Ports.load(path) == Ports(1, 2, 3, 4)
    for text in ("", "{}", "7", '{"api": 1}'):
        path.write_text(text)
        assert Ports.load(path) is None


def test_a_taken_port_names_its_holder_and_other_ports() -> None:
    """In one line: the process, its folder, and a setting that would work."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError) as caught:
            require_free_port(port, "api")
    message = str(caught.value)
    assert f"Port {port}, which api needs, is taken by" in message
    assert f"(pid {os.getpid()}, in {Path.cwd()})" in message
    suggested = int(message.rpartition("API_PORT=")[2].rstrip("."))
    assert is_free(suggested)
    assert "\n" not in message


def test_a_port_is_its_listeners_alone() -> None:
    """That something answers there doesn't make it another process's."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert is_listening(psutil.Process(), port)
        assert not is_listening(psutil.Process(os.getppid()), port)
        assert not is_free(port)
    assert is_free(port)


def test_a_port_that_a_killed_program_still_holds_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is seen to hold it, and a moment later it is free."""
    seen = iter([False, False, True])
    monkeypatch.setattr(ports, "is_free", lambda _: next(seen))
    monkeypatch.setattr(ports, "_holder_of", lambda _: "")
    ports.require_free_port(1, "api")
    assert next(seen, None) is None
