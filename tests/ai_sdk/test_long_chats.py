"""Chats as long as a page can hold: sent whole each time, of which only the last message counts."""

from typing import Any
from uuid import uuid4

import pytest

from local.stack import Stack
from tests.support.ai_sdk import ai_sdk_chat
from tests.support.bundle import settings_for
from tests.support.engines import ScriptedEngine
from tests.support.server import served_bundle
from tests.support.ui_messages import load
from tests.support.users import User

METADATA = {name: name for name in "abcdefghijklmnopqrstuvwxyz"}


def chat_of(count: int) -> list[dict[str, Any]]:
    """Return a chat of so many messages, as a page holds them."""
    return [
        {
            "id": str(number),
            "role": "assistant" if number % 2 else "user",
            "parts": [{"type": "step-start"}, {"type": "text", "text": "Words. " * 20}],
            "metadata": METADATA,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("package", ["ai", "ai-6"])
async def test_a_chat_of_five_thousand_messages_is_gone_on_with(
    stack: Stack, user: User, package: str
) -> None:
    """By the transport as it is, which sends all of them; the answer is to the last one."""
    chat_id, engine = str(uuid4()), ScriptedEngine("Yes.")
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        ai_sdk_chat(url, user.token, chat_id, package=package) as chat,
    ):
        await chat.do("fill", chat_of(5000))
        await chat.do("send", {"text": "Still there?"})
        shown = await chat.do("settled")
    assert (shown.error, shown.texts[-2:]) == (None, ["Still there?", "Yes."])
    assert engine.requests == ["Still there?"]
    loaded = await load(user.functions, chat_id)
    assert [message["parts"][0]["text"] for message in loaded["messages"]] == shown.texts[-2:]


async def test_a_chat_that_is_too_large_says_how_to_send_it(stack: Stack, user: User) -> None:
    """An error that names what has the transport send the last message alone."""
    chat_id = str(uuid4())
    async with (
        served_bundle(
            settings_for(stack, max_body_bytes=50_000), engine=ScriptedEngine("Yes.")
        ) as url,
        ai_sdk_chat(url, user.token, chat_id) as chat,
    ):
        await chat.do("fill", chat_of(200))
        await chat.do("send", {"text": "Still there?"})
        shown = await chat.do("settled")
    assert shown.status == "error"
    assert "prepareSendMessagesRequest" in (shown.error or "")
    assert (await load(user.functions, chat_id))["messages"] == []
