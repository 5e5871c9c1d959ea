"""Callers over plain sockets: an HTTP library would take more of the machine than what it calls."""

import asyncio
import json
import socket
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


class HttpCaller:
    """A caller that does one thing at a time: a request in one piece, and its answer."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        place = urlsplit(url)
        self.port = place.port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._socket = socket.create_connection((place.hostname, place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def get(self, path: str) -> bytes:
        """Return what is answered with 200."""
        return self._ask(f"GET {path}", "", b"")

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """Return what is answered with 200."""
        content = json.dumps(body).encode()
        about = f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        return self._ask(f"POST {path}", about, content)

    def empty_call(self) -> None:
        """Call an SQL function that does nothing, over the Data API."""
        self.post("/rest/v1/rpc/ping", {})

    def _ask(self, request: str, about: str, content: bytes) -> bytes:
        head = f"{request} HTTP/1.1\r\nhost: bench\r\n{self._headers}{about}\r\n"
        self._socket.sendall(head.encode() + content)
        status = self._answers.readline()
        said = {}
        while (line := self._answers.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            said[name.lower()] = value.strip()
        answer = self._read(said)
        assert b" 200 " in status, answer
        return answer

    def _read(self, said: dict[str, str]) -> bytes:
        if "content-length" in said:
            return self._answers.read(int(said["content-length"]))
        pieces = []
        while size := int(self._answers.readline(), 16):
            pieces.append(self._answers.read(size + 2)[:size])
        self._answers.readline()
        return b"".join(pieces)
