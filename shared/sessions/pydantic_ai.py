"""The message history of pydantic-ai, stored in Supabase.

history = StoredHistory(chat, user_id=user_id, session_id=conversation_id)
result = await agent.run("Hello", message_history=await history.load())
await history.add(result.new_messages())
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from ..encoding.parts import text_of
from .stored import LOST_RESULT, Item, StoredItems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..encoding.parts import Part
    from ..library import MessagePersistence
    from ..models.rows import MessageRow

FRAMEWORK: Final = "pydantic-ai"


class StoredHistory:
    """Keeps pydantic-ai's messages as messages of a conversation, for good.

    They come back as they were given, and so do messages that were stored otherwise, as by a page.
    A tool call without a result, as a crash leaves it, is given out with one that says so.
    """

    def __init__(self, chat: MessagePersistence, *, user_id: UUID | str, session_id: str) -> None:
        installed = version("pydantic-ai-slim")
        self._items = StoredItems(chat, UUID(str(user_id)), session_id, FRAMEWORK, installed)

    @property
    def conversation_id(self) -> UUID:
        """The conversation that the history is of."""
        return self._items.conversation_id

    async def load(self, limit: int | None = None) -> list[ModelMessage]:
        """Return the newest messages, oldest first; by default all."""
        rows = await self._items.read(limit)
        return answered([message for row in rows if (message := _message_of(row)) is not None])

    async def add(self, messages: Sequence[ModelMessage]) -> None:
        """Add messages at the end, all of them or none; repeated after a failure, once."""
        await self._items.add(map(_stored, messages))

    async def clear(self) -> None:
        """Take all messages back: they stay stored, with a row that says so."""
        await self._items.clear()


def answered(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return messages of which each tool call has its result, and each result its call."""
    returned = {call for message in messages for part in message.parts if (call := _answers(part))}
    called: set[str] = set()
    found: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            kept = [part for part in message.parts if (_answers(part) or "") in {"", *called}]
            if kept:
                found.append(message if len(kept) == len(message.parts) else ModelRequest(kept))
            continue
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        called |= {part.tool_call_id for part in calls}
        found.append(message)
        lost = [_lost(part) for part in calls if part.tool_call_id not in returned]
        if lost:
            found.append(ModelRequest(lost))
    return found


def _answers(part: Any) -> str | None:
    """Return the id of the tool call that a part answers, if it does."""
    is_result = isinstance(part, ToolReturnPart) or (
        isinstance(part, RetryPromptPart) and part.tool_name is not None
    )
    return str(part.tool_call_id) if is_result else None


def _lost(call: ToolCallPart) -> ToolReturnPart:
    return ToolReturnPart(
        tool_name=call.tool_name, content=LOST_RESULT, tool_call_id=call.tool_call_id
    )


def _message_of(row: MessageRow) -> ModelMessage | None:
    native = row.native or {}
    if native.get("framework") == FRAMEWORK:
        return ModelMessagesTypeAdapter.validate_json(native["data"])[0]
    if not row.content.strip():
        return None
    if row.role == "assistant":
        return ModelResponse([TextPart(row.content)])
    return ModelRequest([UserPromptPart(row.content)])


def _stored(message: ModelMessage) -> Item:
    native = ModelMessagesTypeAdapter.dump_json([message]).decode()
    shown = [part for given in message.parts for part in _shown(given)]
    is_text = all(part["type"] == "text" for part in shown)
    role = "user" if _has_prompt(message) else "assistant"
    return Item(role, text_of(shown), native, () if is_text else shown)


def _has_prompt(message: ModelMessage) -> bool:
    return any(isinstance(part, UserPromptPart) for part in message.parts)


def _shown(part: Any) -> Iterator[Part]:
    """Yield what a page shows of a part."""
    match part:
        case UserPromptPart(content=str(text)) | TextPart(content=text):
            yield {"type": "text", "text": text}
        case UserPromptPart():
            for given in part.content:
                is_text = isinstance(given, str)
                yield {"type": "text", "text": given} if is_text else _named(given)
        case ThinkingPart():
            yield {"type": "reasoning", "text": part.content}
        case ToolCallPart():
            yield _tool(part, "input-available", input=part.args_as_dict())
        case ToolReturnPart():
            yield _tool(part, "output-available", output=part.model_response_str())
        case RetryPromptPart() if part.tool_name:
            yield _tool(part, "output-error", errorText=part.model_response())
        case _:
            yield _named(part)


def _tool(part: Any, state: str, **more: Any) -> Part:
    return {
        "type": "dynamic-tool",
        "toolName": part.tool_name,
        "toolCallId": part.tool_call_id,
        "state": state,
        **more,
    }


def _named(part: Any) -> Part:
    return {"type": "data-item", "data": {"kind": type(part).__name__}}
