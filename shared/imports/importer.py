"""Stores what a file held: staged part by part, then taken by one commit, all of it or nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from shared.encoding.canonical import canonical
from shared.errors import AppError, IdempotencyKeyReusedError
from shared.imports.reading import read_file
from shared.models.transfers import ImportReport, SkippedConversation, TakenConversation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from shared.auth.caller import Caller
    from shared.imports.parsed import ImportFile, ParsedConversation, ParsedMessage
    from shared.models.transfers import ImportOutcome
    from shared.persistence import Persistence

log = structlog.get_logger(__name__)

PART_MESSAGES = 1000
PART_CHARS = 1_000_000
READERS = 2  # files that are read at a time: each takes several times its size in memory


@dataclass(frozen=True, slots=True)
class ImportEvent:
    """One event of a stream; `place` counts the messages that are staged."""

    name: str
    data: dict[str, Any]
    place: int


class Importer:
    """Reads files in a thread, since that takes a while, and makes jobs of them."""

    def __init__(self, persistence: Persistence, *, max_bytes: int) -> None:
        self._persistence = persistence
        self._max_bytes = max_bytes
        self._reading = asyncio.Semaphore(READERS)

    async def read(
        self, content: bytes, *, is_zip: bool, user_id: UUID, caller: Caller, key: str | None
    ) -> ImportJob:
        """Read a file for a verified user; nothing is stored yet.

        Raises InvalidImportError and ChecksumMismatchError.
        """
        async with self._reading:
            read = await asyncio.to_thread(
                read_file,
                content,
                is_zip=is_zip,
                limit=self._max_bytes,
                now=datetime.now(UTC),
                user_id=user_id,
                key=key,
            )
        by = "service" if caller.is_service else "user"
        return ImportJob(self._persistence, read, user_id=user_id, by=by)


class ImportJob:
    """One file on its way into the store."""

    def __init__(
        self, persistence: Persistence, read: ImportFile, *, user_id: UUID, by: str
    ) -> None:
        self._persistence = persistence
        self._user_id = user_id
        self._source = read.source
        self._by = by
        self._import_id = uuid4()
        self._drafts = {uuid4(): draft for draft in read.conversations}
        self._parts = 0
        self._staged = 0

    async def run(self) -> ImportReport:
        """Store the file and report. Raises IdempotencyKeyReusedError, StoreUnavailableError."""
        async for _ in self._stage():
            pass
        return await self._commit()

    async def events(self) -> AsyncIterator[ImportEvent]:
        """Store the file and tell how far it is: `progress`, then `done`. Raises as `run` does."""
        async with aclosing(self._stage()) as staging:
            async for event in staging:
                yield event
        report = await self._commit()
        yield self._event("done", report.model_dump(mode="json", by_alias=True))

    async def _stage(self) -> AsyncGenerator[ImportEvent]:
        total = sum(len(draft.messages) for draft in self._drafts.values())
        try:
            for part in self._split():
                await self._persistence.stage_import(
                    self._user_id,
                    self._import_id,
                    part=self._parts,
                    conversations=part.conversations,
                    messages=part.messages,
                )
                self._parts += 1
                self._staged += len(part.messages)
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
        report = self._report({outcome.id: outcome for outcome in outcomes.conversations})
        log.info(
            "imported",
            source=report.source,
            conversations=len(report.taken),
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

    def _split(self) -> Iterator[_Part]:
        """Yield the drafts in parts of a bounded size; a conversation may go over several."""
        part = _Part()
        for conversation_id, draft in self._drafts.items():
            if not draft.messages and not draft.is_exact:
                continue
            part.conversations.append(self._header(conversation_id, draft))
            for message in draft.messages:
                if part.is_full:
                    yield part
                    part = _Part()
                part.add(_row(conversation_id, message))
        if part.conversations or part.messages:
            yield part

    def _header(self, conversation_id: UUID, draft: ParsedConversation) -> dict[str, Any]:
        newest = draft.messages[-1].at if draft.messages else draft.created_at
        return {
            "id": str(conversation_id),
            "project_id": None if draft.project_id is None else str(draft.project_id),
            "title": draft.title,
            "metadata": canonical(draft.metadata),
            "last_seq": len(draft.messages),
            "created_at": _iso(draft.created_at),
            "updated_at": _iso(newest),
            "archived_at": _iso(draft.archived_at),
            "imported": {
                "source": self._source,
                "id": draft.source_id,
                "by": self._by,
                **draft.provenance,
            },
        }

    def _report(self, outcomes: dict[UUID, ImportOutcome]) -> ImportReport:
        report = ImportReport(source=self._source, messages=0, taken=[], skipped=[])
        for conversation_id, draft in self._drafts.items():
            outcome = outcomes.get(conversation_id)
            if outcome is not None and outcome.is_taken:
                report.messages += len(draft.messages)
                report.taken.append(
                    TakenConversation(
                        conversation_id=conversation_id,
                        title=draft.title,
                        messages=len(draft.messages),
                        left_out=dict(draft.left_out),
                    )
                )
            else:
                report.skipped.append(self._skipped(draft, outcome))
        return report

    def _skipped(
        self, draft: ParsedConversation, outcome: ImportOutcome | None
    ) -> SkippedConversation:
        if outcome is not None and self._source == "list" and not outcome.is_same:
            raise IdempotencyKeyReusedError
        known_id = None if outcome is None else outcome.known_id
        is_here = known_id is not None and str(known_id) == draft.provenance.get("conversationId")
        return SkippedConversation(
            title=draft.title,
            source_id=draft.source_id,
            reason="empty"
            if outcome is None
            else "already_here"
            if is_here
            else "already_imported",
            conversation_id=known_id,
        )


class _Part:
    """What goes to the store in one call."""

    def __init__(self) -> None:
        self.conversations: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self._chars = 0

    @property
    def is_full(self) -> bool:
        return len(self.messages) >= PART_MESSAGES or self._chars >= PART_CHARS

    def add(self, row: dict[str, Any]) -> None:
        self.messages.append(row)
        self._chars += len(row["content"]) + len(row["metadata"]) + len(row["generated_code"] or "")


def _row(conversation_id: UUID, message: ParsedMessage) -> dict[str, Any]:
    return {
        "conversation_id": str(conversation_id),
        "role": message.role,
        "content": message.content,
        "generated_code": message.generated_code,
        "metadata": canonical(message.metadata),
        "created_at": _iso(message.at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
