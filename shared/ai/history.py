"""The stored history as a model is given it: who says what alternates, nothing is unexplained.

Stored rows are never changed; these are copies on their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .protocol import HistoryMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_REPLY: Final = "[No reply was stored.]"

_FAILURES: Final[Mapping[str, str]] = {
    "interrupted": "[This reply was interrupted before it was complete.]",
    "cancelled": "[This reply was stopped by the user before it was complete.]",
}
_FAILED: Final = "[This reply failed.]"


def repaired(history: Iterable[HistoryMessage]) -> list[HistoryMessage]:
    """Return a history that a user's request can follow.

    Blank rows are left out, a reply that failed or was broken off says so, and where a user was
    never answered a short reply says that.
    """
    rows: list[HistoryMessage] = []
    open_question: HistoryMessage | None = None
    for row in map(marked, history):
        if not row.content.strip():
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
    return row.model_copy(update={"content": f"{row.content}\n\n{mark}".lstrip()})


def _no_reply_to(row: HistoryMessage) -> HistoryMessage:
    return HistoryMessage(seq=row.seq, role="assistant", content=NO_REPLY)
