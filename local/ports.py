"""The TCP ports of a stack: which they are, and whether they are free."""

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from local.errors import LocalStackError, PortTakenError

API_PORT = 54321
MOST = 65535
RELEASE_SECONDS = 10
POLL_SECONDS = 0.05
SUGGESTED_STEP = 100  # between one stack's ports and those that are suggested for another


@dataclass(frozen=True)
class Ports:
    """The ports of a stack, all on 127.0.0.1."""

    api: int
    db: int
    functions: int
    realtime: int

    @classmethod
    def following(cls, api: int) -> "Ports":
        """Return the ports that go with an API port; by default two are the Supabase CLI's."""
        return cls(api=api, db=api + 1, functions=api + 10, realtime=api + 11)

    @classmethod
    def wanted(cls) -> "Ports | None":
        """Read API_PORT, which all others follow; None where it isn't set."""
        text = os.environ.get("API_PORT", "")
        if not text:
            return None
        ports = cls.following(int(text)) if text.isdecimal() else None
        if ports is None or not 0 < ports.api < ports.realtime <= MOST:
            raise LocalStackError(f"API_PORT can't be {text!r}: the stack needs it and 11 more.")
        return ports

    @classmethod
    def load(cls, path: Path) -> "Ports | None":
        """Read the ports that a start has kept; None where there are none."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Keep the ports for the commands that come after."""
        path.write_text(json.dumps(asdict(self)))


def require_free_port(port: int, name: str) -> None:
    """Raise PortTakenError, naming the holder where it can be seen, unless the port is free.

    A port without a holder may be that of a program which was just killed: the system takes it
    back once the last of its threads has ended.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while not is_free(port):
        holder = _holder_of(port)
        if holder or time.monotonic() > deadline:
            raise PortTakenError(
                f"Port {port}, which {name} needs, is taken{holder}: stop that program, "
                f"or choose other ports with API_PORT={_suggested_api_port()}."
            )
        time.sleep(POLL_SECONDS)


def is_free(port: int) -> bool:
    """Say whether a program could listen on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_listening(process: psutil.Process, port: int) -> bool:
    """Say whether it is this process that listens on a port, as far as can be seen."""
    try:
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in process.net_connections("tcp")
        )
    except psutil.AccessDenied:  # root in a container may not look at another user's process
        return True
    except psutil.Error:
        return False


def _suggested_api_port() -> int:
    candidates = range(API_PORT + SUGGESTED_STEP, MOST - SUGGESTED_STEP, SUGGESTED_STEP)
    return next(
        (api for api in candidates if all(map(is_free, asdict(Ports.following(api)).values()))),
        API_PORT,
    )


def _holder_of(port: int) -> str:
    """Describe who listens on a port: of a stack its folder shows which one it is."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            here = connection.laddr and connection.laddr.port == port
            if listening and here and connection.pid:
                holder = psutil.Process(connection.pid)
                return f" by {_program_of(holder)} (pid {holder.pid}{_folder_of(holder)})"
    return ""


def _program_of(process: psutil.Process) -> str:
    command = process.cmdline()  # Node's name of a process is that of its thread
    return Path(command[0]).name if command else process.name()


def _folder_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f", in {process.cwd()}"
    return ""
