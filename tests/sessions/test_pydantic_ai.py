"""pydantic-ai's message history, by its own agent on a real stack."""

import uuid
from collections.abc import AsyncIterator

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from local.stack import Stack
from shared import MessagePersistence
from shared.sessions.pydantic_ai import StoredHistory
from tests.support.users import User

agent = Agent(TestModel())


@agent.tool_plain
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
async def chat(stack: Stack) -> AsyncIterator[MessagePersistence]:
    """The library, on the stack."""
    async with MessagePersistence(stack.settings.url, stack.settings.keys.secret) as chat:
        yield chat


def history_of(chat: MessagePersistence, user: User, session_id: str = "") -> StoredHistory:
    """Return a history, a new one unless it is named."""
    return StoredHistory(chat, user_id=user.id, session_id=session_id or str(uuid.uuid4()))


async def test_an_agent_goes_on_with_what_is_stored(chat: MessagePersistence, user: User) -> None:
    """Its messages come back to the letter, tool calls and pictures included."""
    history = history_of(chat, user)
    picture = BinaryContent(b"\x00\x01", media_type="image/png")
    first = await agent.run(["What is this?", picture], message_history=await history.load())
    await history.add(first.new_messages())
    second = await agent.run("And now?", message_history=await history.load())
    await history.add(second.new_messages())
    stored = await history_of(chat, user, str(history.conversation_id)).load()
    assert ModelMessagesTypeAdapter.dump_json(stored) == ModelMessagesTypeAdapter.dump_json(
        second.all_messages()
    )
    rows = (await user.load(str(history.conversation_id))).json()["messages"]
    assert [row["content"] for row in rows if row["role"] == "user"] == [
        "What is this?",
        "And now?",
    ]


async def test_a_tool_call_that_was_cut_off_stops_no_next_run(
    chat: MessagePersistence, user: User
) -> None:
    """The model is given a result that says it was lost; the stored row stays as it was."""
    history = history_of(chat, user)
    cut: list[ModelMessage] = [
        ModelRequest([UserPromptPart("Add")]),
        ModelResponse([ToolCallPart("add", {"a": 1, "b": 2}, tool_call_id="cut")]),
    ]
    await history.add(cut)
    seen: list[ModelMessage] = []

    def look(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        seen.extend(messages)
        return ModelResponse([TextPart("Done.")])

    result = await agent.run(
        "Go on", message_history=await history.load(), model=FunctionModel(look)
    )
    assert result.output == "Done."
    assert [part.part_kind for message in seen[:4] for part in message.parts] == [
        "user-prompt", "tool-call", "tool-return", "user-prompt",
    ]  # fmt: skip
    loaded = (await user.load(str(history.conversation_id))).json()["messages"]
    assert [row["role"] for row in loaded] == ["user", "assistant"]


async def test_messages_of_a_page_are_history_too(chat: MessagePersistence, user: User) -> None:
    """And what was cleared is none, but stays stored."""
    sent = (await user.send("Hello")).json()
    history = history_of(chat, user, sent["conversationId"])
    loaded = await history.load()
    assert [message.kind for message in loaded] == ["request", "response"]
    await history.clear()
    assert await history.load() == []
    rows = (await user.load(sent["conversationId"])).json()["messages"]
    assert [row["role"] for row in rows] == ["user", "assistant", "system"]
