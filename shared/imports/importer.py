"""Has files read, and takes what they hold: part by part, each by one call that can be repeated.

The same file with the same key is the same import. Whoever sends it again goes on where it stopped,
also beside a call that still runs: what came of each part is written down with it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import structlog

from ..errors import IdempotencyKeyReusedError, StoreUnavailableError
from ..models.transfers import ImportProgress, ReadingTask
from .reader import read_upload
from .report import Report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AsyncExitStack

    from ..auth.caller import Caller
    from ..models.transfers import ImportOutcome
    from ..persistence import Persistence
    from .reader import ReadUpload

log = structlog.get_logger(__name__)

READERS: Final = 2  # files that are read at a time: each takes a process and its memory
PART_ATTEMPTS: Final = 3  # a call that is late may still be taking its part; the next one finds it
PROGRESS_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 45.0  # gateways end a call that is not answered within a minute
LEAST_SECONDS: Final = 10.0  # of taking, also where reading has used that up
NAMESPACE: Final = UUID("6d4b2f57-5a0e-4c0b-9a55-1f4c3a6b8f10")


@dataclass(frozen=True, slots=True)
class ImportEvent:
    """One event of a stream; `place` counts the messages that are taken."""

    name: str
    data: dict[str, Any] | str  # a report is JSON already
    place: int = 0


class Importer:
    """Has files read, and makes jobs of what they hold."""

    def __init__(self, persistence: Persistence, *, max_bytes: int) -> None:
        self._persistence = persistence
        self._max_bytes = max_bytes
        self._readers = asyncio.Semaphore(READERS)
        self._reading: set[asyncio.Task[ReadUpload]] = set()

    def begin(
        self,
        upload: IO[bytes],
        *,
        is_zip: bool,
        user_id: UUID,
        caller: Caller,
        key: str | None,
        until_read: AsyncExitStack,
    ) -> ImportJob:
        """Begin to read a file for a verified user; `until_read` is closed once it is read."""
        by = "service" if caller.is_service else "user"
        task = ReadingTask(user_id=user_id, by=by, key=key, is_zip=is_zip, limit=self._max_bytes)
        reading = asyncio.create_task(self._read(upload, task, until_read))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return ImportJob(self._persistence, reading, user_id=user_id, key=key)

    async def _read(
        self, upload: IO[bytes], task: ReadingTask, until_read: AsyncExitStack
    ) -> ReadUpload:
        async with until_read, self._readers:
            return await read_upload(upload, task)


class ImportJob:
    """One file on its way into the store."""

    def __init__(
        self,
        persistence: Persistence,
        reading: asyncio.Task[ReadUpload],
        *,
        user_id: UUID,
        key: str | None,
    ) -> None:
        self._persistence = persistence
        self._reading = reading
        self._user_id = user_id
        self._key = key
        self._answer_by = time.monotonic() + ANSWER_SECONDS
        self._goes_on = False  # beyond what earlier calls have taken
        self._total = 0

    async def run(self) -> ImportEvent:
        """Take the file, or what there is time for; return `done` or else the last `progress`.

        Raises as `events` does.
        """
        async with aclosing(self.events()) as events:
            async for event in events:
                if event.name == "done" or self._must_answer(event):
                    return event
        raise AssertionError  # the last event is `done`

    def _must_answer(self, event: ImportEvent) -> bool:
        """Say whether the time is up, with something new taken and something left."""
        is_late = self._goes_on and time.monotonic() > self._answer_by
        return is_late and event.place < self._total

    async def events(self) -> AsyncGenerator[ImportEvent]:
        """Read the file, then take it, and say how far it is: `progress`, in the end `done`.

        Raises InvalidImportError and ChecksumMismatchError, of which nothing is taken;
        IdempotencyKeyReusedError, ImportIncompleteError and StoreUnavailableError.
        """
        try:
            while not (await asyncio.wait({self._reading}, timeout=PROGRESS_SECONDS))[0]:
                yield _progress(0, 0)
        finally:
            self._reading.cancel()
        read = self._reading.result()
        self._answer_by = max(self._answer_by, time.monotonic() + LEAST_SECONDS)
        report = Report(read.found.sources)
        taking = Taking(self._persistence, read, user_id=self._user_id, key=self._key)
        done, self._total = 0, read.found.messages
        async with aclosing(read.parts()) as parts:
            async for part in parts:
                outcomes = await taking.take(part["pieces"]) if part["pieces"] else []
                await asyncio.to_thread(report.add, part["reads"], outcomes)
                done += part["messages"]
                self._goes_on = not taking.may_be_known
                yield _progress(done, self._total)
        _log(report)
        if report.is_reused_key:
            raise IdempotencyKeyReusedError
        yield ImportEvent("done", await asyncio.to_thread(report.text), done)


class Taking:
    """The parts of one file, in order."""

    def __init__(
        self, persistence: Persistence, read: ReadUpload, *, user_id: UUID, key: str | None
    ) -> None:
        found = read.found
        self._persistence = persistence
        self._user_id = user_id
        self._import_id = uuid5(NAMESPACE, f"{found.digest} {found.parts} {found.messages} {key}")
        self._parts = found.parts
        self._part = 0
        self._is_replayed = key is not None  # its report can be had again
        self.may_be_known = True  # that the next part was taken by another call

    async def take(self, pieces: list[dict[str, Any]]) -> list[ImportOutcome]:
        """Take the next part, or learn what another call of the same import made of it."""
        outcome = None
        if self._part and self.may_be_known:
            outcome = await self._call(None)
            self.may_be_known = outcome is not None
        if outcome is None:
            outcome = await self._call(pieces)
        self._part += 1
        return outcome or []

    async def _call(self, pieces: list[dict[str, Any]] | None) -> list[ImportOutcome] | None:
        attempts = PART_ATTEMPTS
        while True:
            try:
                answer = await self._persistence.take_import_part(
                    self._user_id,
                    self._import_id,
                    part=self._part,
                    pieces=pieces,
                    is_over=self._part == self._parts - 1 and not self._is_replayed,
                )
            except StoreUnavailableError:
                attempts -= 1
                if not attempts:
                    raise
            else:
                return answer.outcome


def _progress(done: int, total: int) -> ImportEvent:
    return ImportEvent("progress", ImportProgress(done=done, total=total).model_dump(), done)


def _log(report: Report) -> None:
    log.info(
        "imported",
        sources=report.sources,
        conversations=len(report.taken),
        updated=len(report.updated),
        messages=report.messages,
        skipped=len(report.skipped),
    )
