"""Counts what a JSON file holds before it is parsed: values and depth, at the speed of a copy."""

from __future__ import annotations

from itertools import accumulate
from typing import IO, Final

from shared.errors import InvalidImportError

MAX_VALUES: Final = 24_000_000  # of a file: metadata may be nothing but small values
MAX_DEPTH: Final = 4_000  # LibreChat nests each message in the one before
CHUNK_BYTES: Final = 256 * 1024
STEPS: Final = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Budget:
    """What is left for the files of an import, all together."""

    def __init__(self, most_bytes: int) -> None:
        self._bytes = most_bytes
        self._values = MAX_VALUES

    def take(self, file: IO[bytes]) -> None:
        """Read a file to its end and raise InvalidImportError where it is more than is left."""
        scan = _Scan()
        while chunk := file.read(CHUNK_BYTES):
            self._bytes -= len(chunk)
            self._values -= scan.values_in(chunk)
            if self._bytes < 0:
                raise InvalidImportError("The zip inflates to more than is taken.")
            if self._values < 0:
                raise InvalidImportError(f"The file holds more than {MAX_VALUES} values.")


class _Scan:
    def __init__(self) -> None:
        self._depth = 0
        self._in_string = 0
        self._begun = b""

    def values_in(self, chunk: bytes) -> int:
        """Return how many values a chunk has at most; raise where they are nested too deep."""
        structure = self._outside_strings(self._begun + chunk)
        brackets = structure.translate(STEPS, NO_BRACKETS)
        depths = list(accumulate(memoryview(brackets).cast("b"), initial=self._depth))
        self._depth = depths[-1]
        if max(depths) > MAX_DEPTH:
            raise InvalidImportError("The file is nested too deep.")
        return sum(map(structure.count, (b",", b"[", b"{")))

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
