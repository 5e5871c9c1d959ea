"""Callers over plain sockets: an HTTP library would take more of the machine than what it calls."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.users import User


@dataclass
class Connection:
    """One caller's connection to a process that serves the functions."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    user: User

    def send(self, body: dict[str, Any], accept: str) -> None:
        """Write a mega-mind request."""
        content = json.dumps(body).encode()
        head = (
            "POST /mega-mind HTTP/1.1\r\nhost: bench\r\n"
            f"authorization: Bearer {self.user.token}\r\n"
            f"accept: {accept}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        self.writer.write(head.encode() + content)

    async def turn(self, conversation_id: str | None = None) -> str:
        """Take a turn; return the id of its conversation."""
        self.send({"request": "Hello", "conversationId": conversation_id}, "application/json")
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        answer = json.loads(await self.reader.readexactly(length))
        assert " 200 " in head, answer
        conversation: str = answer["conversationId"]
        return conversation

    async def stream(self) -> tuple[float, float]:
        """Read a turn as a stream; return when its first event came, and its last."""
        clock = asyncio.get_running_loop().time
        self.send({"request": "Hello"}, "text/event-stream")
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, head + await self.reader.read(1000)
        await self.reader.readuntil(b"event: accepted")
        first = clock()
        await self.reader.readuntil(b"event: done")
        return first, clock()


async def connect(url: str, user: User) -> Connection:
    """Connect to a process at this address."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=4_000_000)
    return Connection(reader, writer, user)
