"""Rows as the AI SDK's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.ui_messages import UiMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models.rows import MessageRow


def ui_messages(rows: Iterable[MessageRow]) -> list[UiMessage]:
    """Return the messages of these rows, in order, without what only the AI is given."""
    return [ui_message(row) for row in rows if not row.is_summary]


def ui_message(row: MessageRow) -> UiMessage:
    """Return a row as a message.

    A reply goes by its turn's id: its row has none yet when the stream of it begins.
    """
    is_reply = row.role == "assistant" and row.turn_id is not None
    return UiMessage(
        id=str(row.turn_id if is_reply else row.id),
        role=row.role,
        parts=[{"type": "text", "text": row.content, "state": "done"}],
        metadata=ui_metadata(row.model_dump(mode="json")),
    )


def ui_metadata(row: dict[str, Any]) -> dict[str, Any]:
    """Return a message's metadata: the row's own, and where and when it is stored."""
    return {
        **row["metadata"],
        "messageId": row["id"],
        "seq": row["seq"],
        "createdAt": row["created_at"],
    }
