"""What the AI is given of a conversation: the stored history, fitted, and word of what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ..ai.protocol import HISTORY, HistoryMessage
from ..ai.tokens import cut_to_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..models.context import HistoryContext

CUT: Final = "\n[Cut here: the stored message is longer.]"


@dataclass(frozen=True)
class Context:
    """A history as an engine takes it, and how it relates to what is stored."""

    history: list[HistoryMessage]
    covers_to: int  # the newest seq of the summary's, 0 where there is none
    omitted: int  # messages between the summary and the first that is given
    shortened: int

    @cached_property
    def tokens(self) -> int:
        """How much it is, estimated."""
        return sum(row.tokens for row in self.history)

    def as_metadata(self) -> dict[str, Any]:
        """Return what the reply's metadata says of it."""
        before = sum(row.is_summary or row.is_note for row in self.history[:2])
        given = self.history[before:]
        return {
            "messages": len(given),
            "fromSeq": given[0].seq if given else None,
            "summaryOf": {"fromSeq": 1, "toSeq": self.covers_to} if self.covers_to else None,
            "omitted": self.omitted,
            "shortened": self.shortened,
            "tokens": self.tokens,
        }


def given_context(
    rows: Sequence[Mapping[str, Any] | HistoryMessage], context: HistoryContext | None
) -> Context:
    """Return the context that the store's rows make."""
    history = HISTORY.validate_python(rows)
    if context is None:
        return Context(history, covers_to=0, omitted=0, shortened=0)
    # Of a history that is whole only the summary, which comes first, may be too long.
    to_fit = min(context.covers_to, 1) if context.is_whole else len(history)
    stored = history[:to_fit]
    given = [fitted(row, context.longest) for row in stored] + history[to_fit:]
    shortened = sum(
        new is not row and not row.is_summary for new, row in zip(given, stored, strict=False)
    )
    if context.omitted:
        given.insert(1 if context.covers_to else 0, _note_of(context.omitted))
    return Context(given, covers_to=context.covers_to, omitted=context.omitted, shortened=shortened)


def fitted(row: HistoryMessage, tokens: int) -> HistoryMessage:
    """Return the row, cut where it takes more tokens than these: to its text, then."""
    if row.tokens <= tokens:
        return row
    content = cut_to_tokens(row.content, tokens, mark=CUT)
    said_of_it = row.model_dump(exclude={"content", "parts", "native"})
    return HistoryMessage(content=content, **said_of_it)


def _note_of(omitted: int) -> HistoryMessage:
    which = "One older message is" if omitted == 1 else f"{omitted} older messages are"
    return HistoryMessage(
        seq=0,
        role="system",
        content=f"{which} left out here: the conversation is longer than what fits.",
        is_note=True,
    )
