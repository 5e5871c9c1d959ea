"""A file on its way out: what it is, what it is called, and its bytes as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is made while it is sent."""

    media_type: str
    name: str
    chunks: AsyncIterator[bytes]
    following: str | None = None  # the query of the part that comes after this one

    @classmethod
    async def begun(
        cls,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        name: str,
        following: str | None = None,
    ) -> Download:
        """Return a download whose first bytes were made: what fails before them can be said."""
        first = await anext(chunks, b"")
        return cls(media_type, name, _chain(first, chunks), following)


async def _chain(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


async def in_chunks(texts: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Join texts into chunks of a sensible size, as UTF-8."""
    held: list[bytes] = []
    size = 0
    async for text in texts:
        held.append(text.encode())
        size += len(held[-1])
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
