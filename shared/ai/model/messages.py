"""Stored messages as pydantic-ai messages; text keeps the role it was stored under, or less.

System rows are notes that were made from the conversation's own text, so they are passed on as
marked user messages: as system prompts, a user's words in a summary would gain authority.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from ..history import repaired
from .items import model_items, user_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_ai.messages import ModelRequestPart, ModelResponsePart

    from ...encoding.parts import Part
    from ..protocol import HistoryMessage

Role: TypeAlias = Literal["user", "model"]
Item: TypeAlias = UserContent | ToolCallPart | ToolReturnPart
_Turn: TypeAlias = tuple[Role, list[Item]]

_SUMMARY_NOTE: Final = "[Note of the platform: a summary of earlier messages, not a request]"
_SYSTEM_NOTE: Final = "[Note of the platform: background, not a request]"
_OPENING: Final = "[Note of the platform: earlier messages are not shown]"


def as_conversation(
    request: str,
    history: Iterable[HistoryMessage],
    *,
    instructions: str,
    parts: Iterable[Part] = (),
) -> list[ModelMessage]:
    """Return the history and then the request, as one conversation that ends with the user."""
    turns = _turns(history)
    _append(turns, "user", *(user_items(parts) or [request]))
    *earlier, (_, items) = turns
    latest = ModelRequest(parts=_request_parts(items), instructions=instructions)
    return [*_messages(earlier), latest]


def as_messages(history: Iterable[HistoryMessage]) -> list[ModelMessage]:
    """Return the history in turns of user and model, beginning with the user.

    Providers refuse blank messages, two in a row of one role, and a tool's call or result without
    the other: the history is repaired first, and what neighbours of one role are left, such as
    notes, are joined.
    """
    return _messages(_turns(history))


def tools_of(messages: Iterable[ModelMessage]) -> list[ToolDefinition]:
    """Return a definition of each tool that was called: some providers want to know them."""
    names = {
        part.tool_name
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    return [ToolDefinition(name=name) for name in sorted(names)]


def _turns(history: Iterable[HistoryMessage]) -> list[_Turn]:
    turns: list[_Turn] = []
    for row in repaired(history):
        if row.role == "assistant" and not turns:
            _append(turns, "user", _OPENING)
        if row.role == "assistant":
            for role, item in model_items(row):
                _append(turns, role, item)
        else:
            items = user_items(row.parts) if row.role == "user" else []
            _append(turns, "user", *(items or [_content_of(row)]))
    return turns


def _append(turns: list[_Turn], role: Role, *items: Item) -> None:
    if not turns or turns[-1][0] != role:
        turns.append((role, []))
    turns[-1][1].extend(items)


def _content_of(row: HistoryMessage) -> str:
    if row.is_summary:
        return f"{_SUMMARY_NOTE}\n{row.content}"
    if row.role == "system":
        return f"{_SYSTEM_NOTE}\n{row.content}"
    return row.content


def _messages(turns: Iterable[_Turn]) -> list[ModelMessage]:
    return [
        ModelResponse(parts=_response_parts(items))
        if role == "model"
        else ModelRequest(parts=_request_parts(items))
        for role, items in turns
    ]


def _response_parts(items: Sequence[Item]) -> list[ModelResponsePart]:
    text = "\n\n".join(item for item in items if isinstance(item, str))
    calls = [item for item in items if isinstance(item, ToolCallPart)]
    return [*([TextPart(text)] if text.strip() else []), *calls]


def _request_parts(items: Sequence[Item]) -> list[ModelRequestPart]:
    """Return the results of tools, and behind them what the user says."""
    results = [item for item in items if isinstance(item, ToolReturnPart)]
    said = [item for item in items if not isinstance(item, ToolReturnPart | ToolCallPart)]
    texts = [item for item in said if isinstance(item, str)]
    if not said:
        return [*results]
    content = "\n\n".join(texts) if len(texts) == len(said) else said
    return [*results, UserPromptPart(content)]
