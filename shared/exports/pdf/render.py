"""A conversation as PDF, made in a process of its own that ends with the document.

What somebody wrote is set by a compiler, and that takes time and memory: outside of this process
it can neither stop the others' requests nor take this process down. The typesetter gets rows on
its standard input, a deadline and a limit of memory: see shared/encoding/sandbox.py.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

import structlog

from ...encoding.sandbox import ran_out_of_memory, running
from ...errors import InternalError, PdfBusyError, PdfNotInstalledError, PdfTooLargeError
from ...shares import Places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...models.rows import ConversationRow, MessageRow

log = structlog.get_logger(__name__)

AT_A_TIME: Final = 2  # PDFs that one process has made at a time
CHUNK_BYTES: Final = 256 * 1024
_WORKER: Final = "shared.exports.pdf.typeset"
# The packages of the extra `pdf`.
_NEEDED: Final = (
    "typst",
    "pikepdf",
    "fontTools",
    "markdown_it",
    "ziamath",
    "justmytype_western_core",
    "justmytype_intl_rtl",
    "justmytype_intl_cjk",
    "justmytype_intl_sea",
    "justmytype_intl_south_asia",
    "justmytype_intl_africa",
)
_places = Places(AT_A_TIME, each=1, refusal=PdfBusyError)


async def render_pdf(
    conversation: ConversationRow,
    messages: AsyncIterator[MessageRow],
    *,
    time_limit: float = 140,
    memory_limit: int = 2 * 1024**3,
) -> AsyncIterator[bytes]:
    """Return the PDF of a conversation, chunk by chunk; the messages come in ascending order.

    It is whole before the first chunk. `time_limit` is in seconds, `memory_limit` in bytes.
    Raises PdfNotInstalledError, PdfBusyError, PdfTooLargeError, and what `messages` raises.
    """
    if not is_installed():
        raise PdfNotInstalledError
    async with _places.taken_by(conversation.user_id):
        # The folder goes away at once; what was opened in it can be read to its end.
        with TemporaryDirectory(prefix="pdf-") as folder:
            target = Path(folder) / "conversation.pdf"
            try:
                async with asyncio.timeout(time_limit):
                    await _typeset(conversation, messages, target, memory_limit)
            except TimeoutError as exc:
                raise PdfTooLargeError from exc
            document = await asyncio.to_thread(target.open, "rb")
    return _chunks(document)


@cache
def is_installed() -> bool:
    """Say whether this installation has the extra `pdf`."""
    return all(find_spec(name) is not None for name in _NEEDED)


async def _typeset(
    conversation: ConversationRow,
    messages: AsyncIterator[MessageRow],
    target: Path,
    memory_limit: int,
) -> None:
    async with running(
        _WORKER,
        str(target),
        str(memory_limit),
        folder=target.parent,
        stdout=DEVNULL,
        environment={"RAYON_NUM_THREADS": "2"},
    ) as process:
        await _feed(process, conversation, messages)
        _, reason = await process.communicate()
    if process.returncode:
        raise _failure(process.returncode, reason.decode(errors="replace"))


async def _feed(
    process: asyncio.subprocess.Process,
    conversation: ConversationRow,
    messages: AsyncIterator[MessageRow],
) -> None:
    """Write the rows; a typesetter that has ended meanwhile says why by its exit status."""
    if process.stdin is None:
        raise InternalError
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(conversation.model_dump_json().encode() + b"\n")
        async for message in messages:
            process.stdin.write(message.model_dump_json().encode() + b"\n")
            await process.stdin.drain()
    process.stdin.close()


def _failure(status: int, reason: str) -> InternalError | PdfTooLargeError:
    """Return the error for a typesetter that failed."""
    if ran_out_of_memory(status, reason):
        log.warning("pdf_out_of_memory", status=status)
        return PdfTooLargeError()
    log.error("pdf_failed", status=status, reason=reason.split()[-1:])
    return InternalError()


async def _chunks(document: IO[bytes]) -> AsyncIterator[bytes]:
    with document:
        while chunk := await asyncio.to_thread(document.read, CHUNK_BYTES):
            yield chunk
