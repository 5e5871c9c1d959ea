"""What the files of an import may hold, all together: counted before anything is parsed."""

from __future__ import annotations

from typing import IO, Final

from ..encoding.scan import JsonScan
from ..errors import InvalidImportError

MAX_VALUES: Final = 24_000_000  # of a file: metadata may be nothing but small values
MAX_DEPTH: Final = 4_000  # LibreChat nests each message in the one before
CHUNK_BYTES: Final = 256 * 1024


class Budget:
    """What is left for the files of an import."""

    def __init__(self, most_bytes: int) -> None:
        self._bytes = most_bytes
        self._values = MAX_VALUES

    def take(self, file: IO[bytes]) -> None:
        """Read a file to its end and raise InvalidImportError if it is more than is left."""
        scan = JsonScan()
        while chunk := file.read(CHUNK_BYTES):
            self._bytes -= len(chunk)
            scan.read(chunk)
            if self._bytes < 0:
                raise InvalidImportError("The zip inflates to more than is taken.")
            if scan.values > self._values:
                raise InvalidImportError(f"The file holds more than {MAX_VALUES} values.")
            if scan.deepest > MAX_DEPTH:
                raise InvalidImportError("The file is nested too deep.")
        self._values -= scan.values
