"""Opens what an upload holds: a file of JSON by itself, or those in a zip."""

from __future__ import annotations

import codecs
import re
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

from ..errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MAX_ENTRIES: Final = 250_000  # our own zip of an account has two for each conversation
ENTRY_MARK: Final = b"PK\x01\x02"
WANTED: Final = re.compile(r"(?:.*/)?[^/.][^/]*\.(?:json|jsonl|ndjson|zip)", re.IGNORECASE)
UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
)  # fmt: skip


class UnreadableEntryError(InvalidImportError):
    """A file in the zip can't be read: it is damaged, or encrypted."""


class Source(NamedTuple):
    """A file of JSON: what it is called, if it is called anything, and how it is opened."""

    name: str | None
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@contextmanager
def sources_in(upload: IO[bytes], *, is_zip: bool) -> Iterator[list[Source]]:
    """Give the files of an upload. Raises InvalidImportError for a zip that can't be read."""
    if not is_zip:
        yield [Source(None, lambda: _from_start(upload))]
        return
    _require_few_entries(upload)
    try:
        with zipfile.ZipFile(upload) as opened:
            yield [_source(opened, entry) for entry in _chosen(opened)]
    except UNREADABLE:
        raise InvalidImportError("The file is not a zip that can be read.") from None


@contextmanager
def _from_start(upload: IO[bytes]) -> Iterator[IO[bytes]]:
    upload.seek(0)
    with _as_utf8(upload) as file:
        yield file


@contextmanager
def _as_utf8(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a file whose mark says that it is UTF-16 as UTF-8."""
    mark = file.read(len(codecs.BOM_UTF16))
    file.seek(0)
    if mark not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        yield file
        return
    try:
        yield cast("IO[bytes]", codecs.EncodedFile(file, "utf-8", "utf-16"))
    except UnicodeError:
        raise UnreadableEntryError("The file is not UTF-16, as its first bytes say.") from None


def _require_few_entries(upload: IO[bytes]) -> None:
    """Count entries before they are read: each takes many times its size in memory."""
    count, before = 0, b""
    while chunk := upload.read(1024 * 1024):
        count += (before + chunk).count(ENTRY_MARK)
        before = chunk[-3:]
    if count > MAX_ENTRIES:
        raise InvalidImportError(f"The zip has more than {MAX_ENTRIES} entries.")


def _chosen(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    chosen = [
        entry
        for entry in opened.infolist()
        if WANTED.fullmatch(_path(entry)) and not _path(entry).startswith("__MACOSX/")
    ]
    if not chosen:
        raise InvalidImportError("There is no JSON file in the zip.")
    return sorted(chosen, key=lambda entry: entry.filename)


def _source(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Source:
    return Source(PurePosixPath(_path(entry)).stem, lambda: _opened(opened, entry))


@contextmanager
def _opened(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    if _path(entry).lower().endswith(".zip"):
        raise UnreadableEntryError("A zip in the zip is not read: send it by itself.")
    try:
        with opened.open(entry) as file, _as_utf8(file) as utf8:
            yield utf8
    except UNREADABLE:
        raise UnreadableEntryError from None


def _path(entry: zipfile.ZipInfo) -> str:
    """Return an entry's path; some programs on Windows write it with backslashes."""
    return entry.filename.replace("\\", "/")
