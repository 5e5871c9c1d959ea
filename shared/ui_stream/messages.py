"""Rows as the AI SDK's messages.

A user's answer to tool calls, and the reply that goes on with it, are rows of their own. There they
are one message: the reply that called the tools, grown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..encoding.parts import is_tool
from ..models.ui_messages import UiMessage
from .answers import answered, is_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from ..encoding.parts import Part
    from ..models.conversations import Siblings
    from ..models.rows import MessageRow

STEP: Final[Part] = {"type": "step-start"}
GROWING: Final = frozenset({"text", "reasoning"})


def ui_messages(
    rows: Iterable[MessageRow], siblings: Mapping[UUID, Siblings] | None = None
) -> list[UiMessage]:
    """Return the messages of these rows, in order, without what only the AI is given."""
    messages: list[UiMessage] = []
    goes_on = False
    for row in rows:
        if row.is_summary:
            continue
        last = messages[-1] if messages else None
        if is_answer(row) and last is not None and last.role == "assistant":
            messages[-1] = last.model_copy(update={"parts": answered(last.parts, row.parts)})
            goes_on = True
        elif goes_on and last is not None and row.role == "assistant":
            messages[-1] = _grown(last, row)
            goes_on = False
        else:
            beside = (siblings or {}).get(row.id)
            messages.append(_message(row, beside))
            goes_on = False
    return messages


def _message(row: MessageRow, siblings: Siblings | None) -> UiMessage:
    """Return a row as a message.

    A reply goes by its turn's id: its row has none yet when the stream of it begins.
    """
    is_reply = row.role == "assistant" and row.turn_id is not None
    more = {"siblings": siblings.model_dump(mode="json", by_alias=True)} if siblings else {}
    return UiMessage(
        id=str(row.turn_id if is_reply else row.id),
        role=row.role,
        parts=_parts_of(row),
        metadata={**ui_metadata(row.model_dump(mode="json")), **more},
    )


def _grown(message: UiMessage, row: MessageRow) -> UiMessage:
    """Return a message with what a later reply adds: a step, and the results of earlier calls."""
    added = _parts_of(row)
    calls = {part["toolCallId"]: part for part in added if is_tool(part)}
    known = {part["toolCallId"] for part in message.parts if is_tool(part)}
    before = [calls.get(part.get("toolCallId"), part) for part in message.parts]
    new = [part for part in added if part.get("toolCallId") not in known]
    metadata = {**(message.metadata or {}), **ui_metadata(row.model_dump(mode="json"))}
    return message.model_copy(update={"parts": [*before, STEP, *new], "metadata": metadata})


def _parts_of(row: MessageRow) -> list[Part]:
    parts = row.parts or [{"type": "text", "text": row.content}]
    if row.role != "assistant":
        return parts
    return [{**part, "state": "done"} if part["type"] in GROWING else part for part in parts]


def ui_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's metadata: the row's own, and where and when it is stored."""
    return {
        **row["metadata"],
        "messageId": row["id"],
        "seq": row["seq"],
        "createdAt": row["created_at"],
    }
