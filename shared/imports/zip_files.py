"""Reads a zip as the providers give it out, or our own: the conversations in it, within bounds."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING

from shared.errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 50_000
MAX_RATIO = 200  # text deflates to a tenth, or a fiftieth where it repeats itself
MAX_INFLATION = 4  # times the largest file that is taken
SMALL = 16 * 1024 * 1024  # for less than that no ratio is bad: a log may be one line over and over
ENTRY_MARK = b"PK\x01\x02"
CONVERSATIONS = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
OURS = re.compile(r"(?:.*/)?conversations/[^/.][^/]*\.json")


def files_in(content: bytes, *, limit: int) -> Iterator[bytes]:
    """Yield each file of conversations in a zip, all together at most four times `limit` bytes.

    Raises InvalidImportError for what is no zip, holds none, or is made to burst.
    """
    if content.count(ENTRY_MARK) > MAX_ENTRIES:
        raise InvalidImportError(f"The zip has more than {MAX_ENTRIES} entries.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            left = limit * MAX_INFLATION
            for entry in _chosen(archive):
                data = _inflated(archive, entry, left)
                left -= len(data)
                yield data
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise InvalidImportError("The file is not a zip that can be read.") from None


def _chosen(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    for pattern in (CONVERSATIONS, OURS):
        chosen = [entry for entry in archive.infolist() if pattern.fullmatch(_path(entry))]
        if chosen:
            return sorted(chosen, key=lambda entry: entry.filename)
    raise InvalidImportError("There is no conversations.json in the zip.")


def _path(entry: zipfile.ZipInfo) -> str:
    """Return an entry's path; some programs on Windows write it with backslashes."""
    return entry.filename.replace("\\", "/")


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """Inflate an entry. What its header says is not relied on."""
    if entry.file_size > max(SMALL, entry.compress_size * MAX_RATIO):
        raise InvalidImportError("The zip inflates to far more than a file of text does.")
    with archive.open(entry) as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise InvalidImportError("The zip inflates to more than is taken.")
    return data
