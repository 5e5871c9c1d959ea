"""Counts what JSON holds before it is parsed: values and depth, at the speed of a copy."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
STEPS: Final = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class JsonScan:
    """How much the JSON holds that was read so far, piece by piece.

    `values` is that number or a little more, but for half of the last object's.
    """

    def __init__(self) -> None:
        self.values = 0
        self.deepest = 0
        self._depth = 0
        self._in_string = 0
        self._begun = b""

    def read(self, piece: bytes) -> None:
        """Count what a piece holds, wherever it was cut."""
        for start in range(0, len(piece), CHUNK_BYTES):
            self._count(piece[start : start + CHUNK_BYTES])

    def _count(self, chunk: bytes) -> None:
        structure = self._outside_strings(self._begun + chunk)
        brackets = structure.translate(STEPS, NO_BRACKETS)
        depths = list(accumulate(memoryview(brackets).cast("b"), initial=self._depth))
        self._depth = depths[-1]
        self.deepest = max(self.deepest, max(depths))
        self.values += sum(map(structure.count, (b",", b"[", b"{")))

    def _outside_strings(self, data: bytes) -> bytes:
        """Return what isn't text; an escape whose second half is to come waits for it."""
        backslashes = len(data) - len(data.rstrip(b"\\"))
        self._begun = b"\\" * (backslashes % 2)
        if self._begun:
            data = data[:-1]
        pieces = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = pieces[self._in_string :: 2]
        self._in_string ^= (len(pieces) - 1) & 1
        return b"".join(outside)
