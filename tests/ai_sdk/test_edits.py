"""Edits and regenerations of the AI SDK's own chat: branches of ours, whatever ids it uses."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from local.stack import Stack
from tests.support.ai_sdk import AiSdkChat, ai_sdk_chat
from tests.support.bundle import settings_for
from tests.support.engines import TypingEngine
from tests.support.server import served_bundle
from tests.support.tool_engines import CountingEngine
from tests.support.ui_messages import (
    load,
    request_of,
    send,
    served_to,
    streaming,
    text_of,
    user_message,
)
from tests.support.users import User


@pytest.fixture
async def url(stack: Stack) -> AsyncIterator[str]:
    """Where the functions are, with that AI."""
    async with served_bundle(settings_for(stack), engine=CountingEngine()) as served:
        yield served


async def say(chat: AiSdkChat, **message: Any) -> list[str]:
    """Send a message; return the texts that are shown once it is answered."""
    await chat.do("send", message)
    return (await chat.do("settled")).texts


async def again(chat: AiSdkChat, **options: Any) -> list[str]:
    """Regenerate; return the texts that are shown then."""
    await chat.do("regenerate", options)
    shown = await chat.do("settled")
    assert shown.error is None
    return shown.texts


async def test_a_reply_is_made_once_more_and_once_more(url: str, user: User) -> None:
    """The last one by default, or the one that is named; each is beside the others for good."""
    chat_id = str(uuid4())
    async with ai_sdk_chat(url, user.token, chat_id) as chat:
        assert await say(chat, text="One") == ["One", "One! (1)"]
        assert await again(chat) == ["One", "One! (2)"]
        assert await again(chat) == ["One", "One! (3)"]
        await say(chat, text="Two")
        first = (await chat.do("open", chat_id)).messages[1]
        assert await again(chat, messageId=first["id"]) == ["One", "One! (5)"]
        loaded = await chat.do("open", chat_id)
    assert loaded.texts == ["One", "One! (5)"]
    assert loaded.messages[1]["metadata"]["siblings"]["count"] == 4
    rows = (await user.load(chat_id, view="all")).json()["messages"]
    assert [row["content"] for row in rows] == [
        "One", "One! (1)", "One! (2)", "One! (3)", "Two", "Two! (4)", "One! (5)",
    ]  # fmt: skip


@pytest.mark.parametrize("is_reloaded", [False, True])
async def test_a_message_is_edited_and_its_reply_regenerated(
    url: str, user: User, is_reloaded: bool
) -> None:
    """By the id that the SDK made, and by that of the row; what was said before stays."""
    chat_id = str(uuid4())
    async with ai_sdk_chat(url, user.token, chat_id) as chat:
        await say(chat, text="One")
        await say(chat, text="Two")
        shown = await chat.do("open", chat_id) if is_reloaded else await chat.do("settled")
        asked = shown.messages[0]["id"]
        assert await say(chat, text="Uno", messageId=asked) == ["Uno", "Uno! (3)"]
        assert await again(chat) == ["Uno", "Uno! (4)"]
        assert await say(chat, text="Due") == ["Uno", "Uno! (4)", "Due", "Due! (5)"]
        assert await say(chat, text="One", messageId=asked) == ["One", "One! (6)"]
        assert await say(chat, text="Uno", messageId=asked) == ["Uno", "Uno! (7)"]
        loaded = await chat.do("open", chat_id)
    assert loaded.texts == ["Uno", "Uno! (7)"]
    assert loaded.messages[0]["metadata"]["siblings"]["count"] == 4


async def test_to_try_again_what_never_arrived_sends_it(url: str, user: User) -> None:
    """And what is being answered already is followed, not answered twice."""
    chat_id = str(uuid4())
    async with ai_sdk_chat("http://127.0.0.1:9", user.token, chat_id) as chat:
        await chat.do("send", {"text": "One"})
        lost = await chat.do("settled")
        assert lost.status == "error"
        await chat.do("use", f"{url}/ui-messages")
        assert await again(chat) == ["One", "One! (1)"]
    assert len((await user.load(chat_id)).json()["messages"]) == 2


async def test_a_lost_connection_is_tried_again_and_follows_the_turn(
    stack: Stack, user: User
) -> None:
    """`regenerate` after a broken stream reads the reply that is being written."""
    chat_id, engine = str(uuid4()), TypingEngine(["One, ", "two."])
    message = user_message("Count")
    async with served_to(user, stack, engine) as client:
        async with client.stream(
            "POST", "/ui-messages", json=request_of(chat_id, message)
        ) as broken:
            assert broken.status_code == 200
        again = request_of(chat_id, message, trigger="regenerate-message")
        async with streaming(client, again) as following:
            engine.allow(3)
            chunks = [chunk async for chunk in following]
    assert text_of(chunks) == "One, two."
    assert engine.runs == 1


async def test_an_edit_and_a_regeneration_that_are_sent_again_are_the_same_turn(
    url: str, user: User
) -> None:
    """Unless their user has left their branch meanwhile."""
    chat_id, message = str(uuid4()), user_message("One", "m1")
    edited = user_message("Uno", "m1")
    edit = request_of(chat_id, edited, messageId="m1")
    async with user.functions as client:
        client.base_url = url
        await send(client, request_of(chat_id, message))
        assert [text_of(await send(client, edit)) for _ in range(2)] == ["Uno! (2)"] * 2
        reply = (await load(client, chat_id))["messages"][-1]["id"]
        once_more = request_of(chat_id, edited, trigger="regenerate-message", messageId=reply)
        assert [text_of(await send(client, once_more)) for _ in range(2)] == ["Uno! (3)"] * 2
        await client.patch(f"/conversations/{chat_id}", json={"activeBranch": 1})
        assert text_of(await send(client, once_more)) == "Uno! (4)"
