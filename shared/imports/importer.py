"""Stores what a file held: staged part by part, then taken by one commit, all of it or nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from shared.errors import AppError, IdempotencyKeyReusedError
from shared.imports.reader import read_upload
from shared.models.transfers import (
    ImportOutcome,
    ImportReport,
    ReadingTask,
    SkippedConversation,
    TakenConversation,
    UpdatedConversation,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shared.auth.caller import Caller
    from shared.imports.reader import ReadUpload
    from shared.models.transfers import ReadConversation, SkipReason
    from shared.persistence import Persistence

log = structlog.get_logger(__name__)

READERS = 2  # files that are read at a time: each takes a process and its memory


@dataclass(frozen=True, slots=True)
class ImportEvent:
    """One event of a stream; `place` counts the messages that are staged."""

    name: str
    data: dict[str, Any]
    place: int


class Importer:
    """Has files read, and makes jobs of what they hold."""

    def __init__(self, persistence: Persistence, *, max_bytes: int) -> None:
        self._persistence = persistence
        self._max_bytes = max_bytes
        self._reading = asyncio.Semaphore(READERS)

    async def read(
        self, upload: IO[bytes], *, is_zip: bool, user_id: UUID, caller: Caller, key: str | None
    ) -> ImportJob:
        """Read a file for a verified user; nothing is stored yet.

        Raises InvalidImportError and ChecksumMismatchError.
        """
        by = "service" if caller.is_service else "user"
        task = ReadingTask(user_id=user_id, by=by, key=key, is_zip=is_zip, limit=self._max_bytes)
        async with self._reading:
            read = await read_upload(upload, task)
        return ImportJob(self._persistence, read, user_id=user_id)


class ImportJob:
    """One file on its way into the store."""

    def __init__(self, persistence: Persistence, read: ReadUpload, *, user_id: UUID) -> None:
        self._persistence = persistence
        self._user_id = user_id
        self._read = read
        self._import_id = uuid4()
        self._parts = 0
        self._staged = 0

    async def run(self) -> ImportReport:
        """Store the file and report. Raises IdempotencyKeyReusedError, StoreUnavailableError."""
        async for _ in self._stage():
            pass
        return await self._commit()

    async def events(self) -> AsyncIterator[ImportEvent]:
        """Store the file and say how far it is: `progress`, then `done`. Raises as `run` does."""
        async with aclosing(self._stage()) as staging:
            async for event in staging:
                yield event
        report = await self._commit()
        yield self._event("done", report.model_dump(mode="json", by_alias=True))

    async def _stage(self) -> AsyncGenerator[ImportEvent]:
        total = sum(one.messages for one in self._read.conversations if one.id is not None)
        try:
            async for part in self._read.parts():
                await self._persistence.stage_import(
                    self._user_id,
                    self._import_id,
                    part=self._parts,
                    conversations=part["conversations"],
                    messages=part["messages"],
                )
                self._parts += 1
                self._staged += len(part["messages"])
                yield self._event("progress", {"done": self._staged, "total": total})
        except BaseException:
            await self._discard()
            raise

    async def _commit(self) -> ImportReport:
        try:
            outcomes = await self._persistence.commit_import(
                self._user_id, self._import_id, parts=self._parts
            )
        except AppError:
            await self._discard()
            raise
        report = await asyncio.to_thread(  # half a second for the most that a file may hold
            _report,
            self._read.conversations,
            {outcome.id: outcome for outcome in outcomes.conversations},
        )
        log.info(
            "imported",
            sources=report.sources,
            conversations=len(report.taken),
            updated=len(report.updated),
            messages=report.messages,
            skipped=len(report.skipped),
        )
        return report

    async def _discard(self) -> None:
        """Forget the parts, as far as possible; what is left is swept with a later import."""
        try:
            await asyncio.shield(self._persistence.discard_import(self._user_id, self._import_id))
        except AppError:
            log.warning("import_not_discarded", import_id=str(self._import_id))

    def _event(self, name: str, data: dict[str, Any]) -> ImportEvent:
        return ImportEvent(name, data, self._staged)


def _report(read: list[ReadConversation], outcomes: dict[UUID, ImportOutcome]) -> ImportReport:
    sources = sorted({one.source for one in read if one.source is not None})
    report = ImportReport(sources=sources, messages=0, taken=[], updated=[], skipped=[])
    for one in read:
        outcome = None if one.id is None else outcomes.get(one.id)
        if outcome is None or one.source is None:
            report.skipped.append(_skipped(one, None, one.reason or "empty"))
        elif outcome.is_taken:
            report.messages += one.messages
            report.taken.append(
                TakenConversation(
                    conversation_id=outcome.id,
                    **one.model_dump(include={"source", "title", "messages", "left_out", "kept"}),
                )
            )
        elif outcome.known_id is not None and (outcome.appended or outcome.changed):
            report.messages += outcome.appended
            report.updated.append(
                UpdatedConversation(
                    conversation_id=outcome.known_id,
                    source=one.source,
                    title=one.title,
                    messages=outcome.appended,
                    changed=outcome.changed,
                )
            )
        else:
            report.skipped.append(_known(one, outcome))
    has_reused_key = any(one.reason == "key_reused" for one in report.skipped)
    if has_reused_key and not (report.taken or report.updated):
        raise IdempotencyKeyReusedError
    return report


def _known(one: ReadConversation, outcome: ImportOutcome) -> SkippedConversation:
    """Return the report of one that is there already."""
    if one.is_list and not outcome.is_same:
        return _skipped(one, outcome.known_id, "key_reused")
    is_here = outcome.known_id is not None and str(outcome.known_id) == one.original_id
    return _skipped(one, outcome.known_id, "already_here" if is_here else "already_imported")


def _skipped(
    one: ReadConversation, known_id: UUID | None, reason: SkipReason
) -> SkippedConversation:
    return SkippedConversation(
        title=one.title,
        source_id=one.source_id,
        reason=reason,
        conversation_id=known_id,
        left_out=one.left_out,
    )
