"""A chat of the AI SDK in a Node process of its own, as a page would use it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.node import NODE
from tests.support.clients import install_clients

MAX_LINE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class ChatState:
    """What the chat holds: its messages, its status, and the error that it shows."""

    messages: list[dict[str, Any]]
    status: str
    error: str | None

    @property
    def texts(self) -> list[str]:
        """The text of each message."""
        return [
            "".join(part["text"] for part in message["parts"] if part["type"] == "text")
            for message in self.messages
        ]


@dataclass(frozen=True)
class AiSdkChat:
    """Somebody's page with one chat on it."""

    process: asyncio.subprocess.Process

    async def do(self, command: str, *arguments: Any) -> ChatState:
        """Let the page do one thing; return what its chat holds then."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        line = await asyncio.wait_for(stdout.readline(), timeout=60)
        return ChatState(**json.loads(line))


@asynccontextmanager
async def ai_sdk_chat(
    url: str, token: str, chat_id: str, *, package: str = "ai", transport: Path | None = None
) -> AsyncIterator[AiSdkChat]:
    """Open a page on a chat; its messages are loaded first. `transport` is the file of ours."""
    process = await asyncio.create_subprocess_exec(
        NODE, install_clients() / "ai_sdk.mjs", package, f"{url}/ui-messages", token,
        *([transport] if transport else []),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=MAX_LINE_BYTES,
    )  # fmt: skip
    try:
        chat = AiSdkChat(process)
        await chat.do("open", chat_id)
        yield chat
    finally:
        process.kill()
        await process.wait()
