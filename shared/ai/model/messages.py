"""Stored messages as pydantic-ai messages; text keeps the role it was stored under, or less.

System rows are notes that were made from the conversation's own text, so they are passed on as
marked user messages: as system prompts, a user's words in a summary would gain authority.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)

from ..history import repaired

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..protocol import HistoryMessage

_SUMMARY_NOTE: Final = "[Note of the platform: a summary of earlier messages, not a request]"
_SYSTEM_NOTE: Final = "[Note of the platform: background, not a request]"
_OPENING: Final = "[Note of the platform: earlier messages are not shown]"


def as_conversation(
    request: str, history: Iterable[HistoryMessage], *, instructions: str
) -> list[ModelMessage]:
    """Return the history and then the request, as one conversation that ends with the user."""
    turns = _turns(history)
    _append(turns, "user", request)
    *earlier, (_, texts) = turns
    latest = ModelRequest(parts=[UserPromptPart("\n\n".join(texts))], instructions=instructions)
    return [*_messages(earlier), latest]


def as_messages(history: Iterable[HistoryMessage]) -> list[ModelMessage]:
    """Return the history in turns of user and model, beginning with the user.

    Providers refuse blank messages and two in a row of one role: the history is repaired first, and
    what neighbours of one role are left, such as notes, are joined.
    """
    return _messages(_turns(history))


def _turns(history: Iterable[HistoryMessage]) -> list[tuple[str, list[str]]]:
    turns: list[tuple[str, list[str]]] = []
    for row in repaired(history):
        role = "model" if row.role == "assistant" else "user"
        if role == "model" and not turns:
            _append(turns, "user", _OPENING)
        _append(turns, role, _content_of(row))
    return turns


def _append(turns: list[tuple[str, list[str]]], role: str, text: str) -> None:
    if not turns or turns[-1][0] != role:
        turns.append((role, []))
    turns[-1][1].append(text)


def _content_of(row: HistoryMessage) -> str:
    if row.is_summary:
        return f"{_SUMMARY_NOTE}\n{row.content}"
    if row.role == "system":
        return f"{_SYSTEM_NOTE}\n{row.content}"
    return row.content


def _messages(turns: Iterable[tuple[str, list[str]]]) -> list[ModelMessage]:
    return [_message(role, "\n\n".join(texts)) for role, texts in turns]


def _message(role: str, text: str) -> ModelMessage:
    if role == "model":
        return ModelResponse(parts=[TextPart(text)])
    return ModelRequest(parts=[UserPromptPart(text)])
