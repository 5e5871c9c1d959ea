"""Has a file read in a process of its own, and hands on what it wrote, a part at a time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, TYPE_CHECKING, Any, Final

import structlog

from ..encoding.sandbox import ran_out_of_memory, running
from ..errors import ChecksumMismatchError, InternalError, InvalidImportError
from ..models.transfers import ReadFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..models.transfers import ReadingTask

log = structlog.get_logger(__name__)

READING_SECONDS: Final = 120
ERRORS: Final = {error.code: error for error in (InvalidImportError, ChecksumMismatchError)}
TOO_MUCH: Final = "The file takes more time or memory to read than an import may. Send it in parts."


class ReadUpload:
    """What a file held: how much that is, and its parts, on disk."""

    def __init__(self, found: ReadFile, parts: IO[bytes]) -> None:
        self.found = found
        self._parts = parts

    async def parts(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield the parts, each with its pieces and what is to be reported."""
        with self._parts:
            self._parts.seek(0)
            while line := await asyncio.to_thread(self._parts.readline):
                yield await asyncio.to_thread(json.loads, line)


async def read_upload(upload: IO[bytes], task: ReadingTask) -> ReadUpload:
    """Read a file within limits of time and memory.

    Raises InvalidImportError and ChecksumMismatchError.
    """
    parts = TemporaryFile()  # noqa: SIM115 - is read after this, and closed there
    try:
        async with (
            asyncio.timeout(READING_SECONDS),
            running(
                "shared.imports",
                folder=Path(gettempdir()),
                stdin=upload,
                stdout=parts,
                environment={"IMPORT_TASK": task.model_dump_json()},
            ) as process,
        ):
            _, last_words = await process.communicate()
        found = _result(process.returncode or 0, last_words)
    except BaseException as exc:
        parts.close()
        if isinstance(exc, TimeoutError):
            raise InvalidImportError(TOO_MUCH) from None
        raise
    return ReadUpload(found, parts)


def _result(status: int, last_words: bytes) -> ReadFile:
    if status:
        reason = last_words.decode(errors="replace")
        if ran_out_of_memory(status, reason):
            log.warning("import_out_of_memory", status=status)
            raise InvalidImportError(TOO_MUCH)
        log.error("import_not_read", status=status, reason=reason.split()[-1:])
        raise InternalError
    read = ReadFile.model_validate_json(last_words)
    if read.error is not None:
        raise ERRORS[read.error.code](read.error.message, details=read.error.details)
    return read
