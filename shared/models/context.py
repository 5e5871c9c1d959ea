"""Histories and summaries: what the store answers about them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class HistoryContext(BaseModel):
    """How a history relates to its conversation. Places are a `seq`, 0 is none.

    Messages from `first` to `known` are not sent: who asked has them. A history is complete if none
    of its messages is cut or lacks anything.
    """

    covers_to: int
    first: int = 1
    known: int = 0
    is_complete: bool = False
    omitted: int
    longest: int
    is_whole: bool
    since_tokens: int


class History(BaseModel):
    """What load_history answers, and begin_turn in the midst of other things."""

    history: list[dict[str, Any]]
    context: HistoryContext | None = None


class Unsummarised(BaseModel):
    """What load_unsummarised answers."""

    previous: str | None
    messages: list[dict[str, Any]]
    covers_to: int | None
    longest: int


class WrittenSummary(BaseModel):
    """What write_summary answers."""

    outcome: Literal["written", "known", "busy", "elsewhere"]
