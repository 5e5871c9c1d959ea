"""The report of an import, written while its parts are taken.

It is kept as JSON text: of fifty thousand conversations that is a few megabytes, as objects it
would be many times that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.transfers import (
    ReadConversation,
    SkippedConversation,
    TakenConversation,
    UpdatedConversation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any
    from uuid import UUID

    from ..models.base import Envelope
    from ..models.transfers import ImportOutcome, ImportSource, SkipReason


class Report:
    """What became of each conversation so far; `part` adds those that end with a part."""

    def __init__(self, sources: list[ImportSource]) -> None:
        self.sources = sources
        self.messages = 0
        self.taken: list[str] = []
        self.updated: list[str] = []
        self.skipped: list[str] = []
        self._has_reused_key = False
        self._unfinished: ImportOutcome | None = None

    @property
    def is_reused_key(self) -> bool:
        """Whether nothing was taken because a key named something else."""
        return self._has_reused_key and not (self.taken or self.updated)

    def add(self, reads: Iterable[dict[str, Any]], outcomes: Iterable[ImportOutcome]) -> None:
        """Add a part: the conversations that end with it, and what came of each of its pieces."""
        by_place: dict[int, ImportOutcome] = {}
        for outcome in (*self._waiting(), *outcomes):
            before = by_place.get(outcome.place)
            by_place[outcome.place] = _together(before, outcome) if before else outcome
        for each in reads:
            read = ReadConversation.model_validate(each)
            self._add(read, None if read.place is None else by_place.pop(read.place, None))
        self._unfinished = next(iter(by_place.values()), None)

    def _waiting(self) -> Iterable[ImportOutcome]:
        return () if self._unfinished is None else (self._unfinished,)

    def text(self) -> str:
        """Return the report as the JSON of an ImportReport."""
        lists = {"taken": self.taken, "updated": self.updated, "skipped": self.skipped}
        sources = ",".join(f'"{source}"' for source in self.sources)
        rows = ",".join(f'"{name}":[{",".join(rows)}]' for name, rows in lists.items())
        return f'{{"sources":[{sources}],"messages":{self.messages},{rows}}}'

    def _add(self, read: ReadConversation, outcome: ImportOutcome | None) -> None:
        if outcome is None or read.source is None:
            self._skip(read, None, read.reason or "empty")
        elif outcome.id is not None and outcome.is_taken:
            self.messages += read.messages
            kept = read.model_dump(include={"source", "title", "messages", "left_out", "kept"})
            self.taken.append(_json(TakenConversation(conversation_id=outcome.id, **kept)))
        elif outcome.known_id is not None and (outcome.appended or outcome.changed):
            self.messages += outcome.appended
            grown = UpdatedConversation(
                conversation_id=outcome.known_id,
                source=read.source,
                title=read.title,
                messages=outcome.appended,
                changed=outcome.changed,
            )
            self.updated.append(_json(grown))
        else:
            self._skip_known(read, outcome)

    def _skip_known(self, read: ReadConversation, outcome: ImportOutcome) -> None:
        """Add one that is there already, or was."""
        if outcome.known_id is None:
            self._skip(read, None, "deleted")
            return
        if read.is_list and not outcome.is_same:
            self._has_reused_key = True
            self._skip(read, outcome.known_id, "key_reused")
            return
        is_here = str(outcome.known_id) == read.original_id
        self._skip(read, outcome.known_id, "already_here" if is_here else "already_imported")

    def _skip(self, read: ReadConversation, known_id: UUID | None, reason: SkipReason) -> None:
        skipped = SkippedConversation(
            title=read.title,
            source_id=read.source_id,
            reason=reason,
            conversation_id=known_id,
            left_out=read.left_out,
        )
        self.skipped.append(_json(skipped))


def _together(before: ImportOutcome, last: ImportOutcome) -> ImportOutcome:
    """Return what came of a conversation of several pieces: its last one says whose it is."""
    return last.model_copy(
        update={
            "appended": before.appended + last.appended,
            "changed": before.changed + last.changed,
        }
    )


def _json(row: Envelope) -> str:
    return row.model_dump_json(by_alias=True)
