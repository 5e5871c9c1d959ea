"""The ui-messages endpoint as a plain client calls it, and the chunks that it sends."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from local.stack import Stack
from shared.ai.protocol import Engine
from tests.support.bundle import settings_for
from tests.support.server import served_bundle
from tests.support.users import User

Chunk = dict[str, Any]


def user_message(text: str, message_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a message as the AI SDK makes it, under a short id unless one is given."""
    parts = [{"type": "text", "text": text}]
    return {"id": message_id or uuid4().hex[:16], "role": "user", "parts": parts, **more}


def request_of(chat_id: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the body that DefaultChatTransport sends."""
    return {"id": chat_id, "messages": list(messages), "trigger": "submit-message", **more}


async def send(client: httpx.AsyncClient, body: dict[str, Any]) -> list[Chunk]:
    """Send a request and read its chunks to the end."""
    async with streaming(client, body) as chunks:
        return [chunk async for chunk in chunks]


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> AsyncIterator[AsyncIterator[Chunk]]:
    """Send a request and give its chunks as they come."""
    async with client.stream("POST", "/ui-messages", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield chunks_of(answer)


@asynccontextmanager
async def resuming(
    client: httpx.AsyncClient, chat_id: str, **query: str
) -> AsyncIterator[AsyncIterator[Chunk]]:
    """Resume a chat's stream and give its chunks as they come."""
    async with client.stream("GET", f"/ui-messages/{chat_id}/stream", params=query) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield chunks_of(answer)


async def chunks_of(answer: httpx.Response) -> AsyncIterator[Chunk]:
    """Yield the chunks of a stream, which has to end as the protocol says; comments are none."""
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["content-type"].startswith("text/event-stream")
    is_done = False
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            assert not is_done
            is_done = line == "data: [DONE]"
            if not is_done:
                yield json.loads(line.removeprefix("data: "))
    assert is_done


def text_of(chunks: list[Chunk]) -> str:
    """Return the text that is written in these chunks, each part begun before and ended after."""
    text, is_open = "", False
    for chunk in chunks:
        if chunk["type"] in {"text-start", "text-end"}:
            assert is_open == (chunk["type"] == "text-end")
            is_open = not is_open
        elif chunk["type"] == "text-delta":
            assert is_open
            text += chunk["delta"]
        elif chunk["type"] == "reset-step":
            text, is_open = "", False
    return text


async def load(client: httpx.AsyncClient, chat_id: str, **query: Any) -> dict[str, Any]:
    """Load a page of a chat."""
    answer = await client.get(f"/ui-messages/{chat_id}", params=query)
    assert answer.status_code == 200, answer.text
    loaded: dict[str, Any] = answer.json()
    return loaded


@asynccontextmanager
async def served_to(
    user: User, stack: Stack, engine: Engine, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the bundle with an engine of its own, and give a client of this user's."""
    headers = {"authorization": f"Bearer {user.token}"}
    async with (
        served_bundle(settings_for(stack, **settings), engine=engine) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
    ):
        yield client
