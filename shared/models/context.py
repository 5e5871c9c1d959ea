"""Histories and summaries: what the store answers about them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, model_validator


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
    """What load_history answers, and begin_turn in the midst of other things.

    `history` is rows of the store's, or the engine's messages where they were read before.
    """

    history: list[Any]
    context: HistoryContext | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_columns(cls, given: Any) -> Any:
        """Take a history as the store answers it: by columns, or none."""
        if not isinstance(given, dict) or isinstance(given.get("history"), list):
            return given
        columns = given.get("history")
        return {**given, "history": rows_of(columns) if columns else [], "context": columns}


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a history, the summary first."""
    summary, beside = columns["summary"], {row["seq"]: row for row in columns["beside"]}
    rows = [
        {"seq": seq, "role": role, "content": content, **beside.get(seq, {})}
        for seq, role, content in zip(
            columns["seq"], columns["role"], columns["content"], strict=True
        )
    ]
    return [{**summary, "role": "system", "is_summary": True}, *rows] if summary else rows


class Unsummarised(BaseModel):
    """What load_unsummarised answers."""

    previous: str | None
    messages: list[dict[str, Any]]
    covers_to: int | None
    longest: int


class WrittenSummary(BaseModel):
    """What write_summary answers."""

    outcome: Literal["written", "known", "busy", "elsewhere"]
