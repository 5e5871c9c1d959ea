"""The stored history as a model is given it: who says what alternates, nothing is unexplained.

Stored rows are never changed; these are copies on their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..encoding.parts import UNFINISHED, is_tool
from .protocol import HistoryMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..encoding.parts import Part

NO_REPLY: Final = "[No reply was stored.]"
NO_RESULT: Final = "This call was not finished: it has no result."

_FAILURES: Final[Mapping[str, str]] = {
    "interrupted": "[This reply was interrupted before it was complete.]",
    "cancelled": "[This reply was stopped by the user before it was complete.]",
}
_FAILED: Final = "[This reply failed.]"


def repaired(history: Iterable[HistoryMessage]) -> list[HistoryMessage]:
    """Return a history that a user's request can follow.

    Blank rows are left out, a reply that failed or was broken off says so, and where a user was
    never answered a short reply says that. Every tool call has a result.
    """
    rows: list[HistoryMessage] = []
    open_question: HistoryMessage | None = None
    for row in map(closed, map(marked, history)):
        if not row.content.strip() and not any(map(is_given, row.parts)):
            continue
        if row.role == "user" and open_question is not None:
            rows.append(_no_reply_to(open_question))
        if row.role != "system":
            open_question = row if row.role == "user" else None
        rows.append(row)
    if open_question is not None:
        rows.append(_no_reply_to(open_question))
    return rows


def marked(row: HistoryMessage) -> HistoryMessage:
    """Return the row; a reply that is not whole says so."""
    if row.failure is None:
        return row
    mark = _FAILURES.get(row.failure, _FAILED)
    parts = [*row.parts, {"type": "text", "text": mark}] if row.parts else []
    return row.model_copy(update={"content": f"{row.content}\n\n{mark}".lstrip(), "parts": parts})


def closed(row: HistoryMessage) -> HistoryMessage:
    """Return the row; a tool call that never got its result has an error for one.

    Providers refuse a call without a result: one that a crash cut off would make each later
    request of its conversation fail.
    """
    if not any(map(_is_open, row.parts)):
        return row
    parts = [_closed(part) if _is_open(part) else part for part in row.parts]
    return row.model_copy(update={"parts": parts})


def is_given(part: Part) -> bool:
    """Whether a part is something that a model is told beside a message's text."""
    return is_tool(part) or part.get("type") == "file"


def _is_open(part: Part) -> bool:
    return is_tool(part) and part.get("state") in UNFINISHED


def _closed(part: Part) -> Part:
    kept = {name: value for name, value in part.items() if name not in {"approval", "rawInput"}}
    return {**kept, "state": "output-error", "errorText": NO_RESULT}


def _no_reply_to(row: HistoryMessage) -> HistoryMessage:
    return HistoryMessage(seq=row.seq, role="assistant", content=NO_REPLY)
