"""Work on what strangers wrote, in a process of its own that ends with it.

Such work takes time and memory that nobody knows beforehand: in a process with limits, an empty
environment and the least claim to the processor it can neither stop other requests nor take this
process down. `running` is the parent's side, `enter` the child's.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

_ROOT: Final = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def running(
    module: str,
    *arguments: str,
    folder: Path,
    stdin: IO[bytes] | int = PIPE,
    stdout: IO[bytes] | int,
    environment: dict[str, str] | None = None,
) -> AsyncIterator[Process]:
    """Run a module in `folder` with its standard error as a pipe; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),  # and nothing of `folder` is imported
        cwd=folder,
        env={"PYTHONPATH": str(_ROOT), "MALLOC_ARENA_MAX": "2", **(environment or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
        process_group=0,
    )
    try:
        yield process
    finally:
        await _end(process)


def ran_out_of_memory(status: int, reason: str) -> bool:
    """Say whether a process ended for want of memory: a signal ends it where it can't go on."""
    return status < 0 or "MemoryError" in reason


async def _end(process: Process) -> None:
    """End the process and whatever it has started, if they still run."""
    with suppress(ProcessLookupError):
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())


def enter(memory: int) -> None:
    """Limit this process where the system can see to it, and keep texts out of its last words."""
    sys.excepthook = name_only
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with suppress(OSError):
        os.nice(5)


def name_only(kind: type[BaseException], *_: object) -> None:
    """Say what broke and nothing of anybody's text."""
    sys.stderr.write(kind.__name__)
