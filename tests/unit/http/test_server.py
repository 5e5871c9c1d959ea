"""The deadline for the head of a request, by real connections to a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import uvicorn

import shared.http.server as deadlines
from functions.__main__ import server_options
from tests.support.unit_settings import unit_settings

Message = MutableMapping[str, Any]

HEAD_SECONDS = 0.6
HEAD = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n"


async def echo(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer with the body that came, once it is whole."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Client:
    """One connection, by its bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, piece: bytes) -> None:
        """Send these bytes."""
        self._writer.write(piece)

    async def answer(self) -> bytes:
        """Return one whole answer with a body of two bytes."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        return head + await self._reader.readexactly(2)

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection."""
        received = b""
        with suppress(ConnectionResetError):  # its end may cross what is sent meanwhile
            while piece := await self._reader.read(1024):
                received += piece
        return received

    async def aclose(self) -> None:
        """Go."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest.fixture
async def connect(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    """Serve as `python -m functions` does, but for the application and the deadlines' length."""
    monkeypatch.setattr(deadlines, "HEAD_SECONDS", HEAD_SECONDS)
    options = {**server_options(unit_settings()), "lifespan": "off", "timeout_keep_alive": 1}
    server = uvicorn.Server(uvicorn.Config(echo, port=0, **options))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    async with AsyncExitStack() as on:
        await server.startup()
        on.push_async_callback(server.shutdown)
        port = server.servers[0].sockets[0].getsockname()[1]

        async def client() -> Client:
            made = Client(*await asyncio.open_connection("127.0.0.1", port))
            on.push_async_callback(made.aclose)
            return made

        yield client


Connect = Callable[[], Awaitable[Client]]


@pytest.mark.promise("strict input", red="uvicorn's own protocol, without a deadline for heads")
@pytest.mark.parametrize("first", [b"", HEAD + b"ok"], ids=["new", "kept alive"])
async def test_a_head_that_comes_by_the_byte_is_ended(connect: Connect, first: bytes) -> None:
    """With a 408, also as the second request of a connection, though bytes never stop coming."""
    client = await connect()
    if first:
        client.send(first)
        assert (await client.answer()).endswith(b"ok")

    async def dribble() -> None:
        for byte in HEAD[:-2] + b"x-more: " + b"x" * 10_000:
            client.send(bytes([byte]))
            await asyncio.sleep(HEAD_SECONDS / 10)

    dribbling = asyncio.create_task(dribble())
    try:
        async with asyncio.timeout(30):
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
    finally:
        dribbling.cancel()


async def test_a_connection_that_sends_nothing_is_ended(connect: Connect) -> None:
    """After as long as a kept one may be idle, and without an answer: nothing was asked."""
    assert await (await connect()).rest() == b""


async def test_a_head_in_two_pieces_is_served(connect: Connect) -> None:
    """And the one after it, on the same connection, past the first one's deadline."""
    client = await connect()
    for _ in range(2):
        client.send(HEAD[:20])
        await asyncio.sleep(0.01)
        client.send(HEAD[20:] + b"ok")
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(HEAD_SECONDS * 1.2)


async def test_the_deadline_is_that_of_the_head_alone(connect: Connect) -> None:
    """A body has its own, and may take longer."""
    client = await connect()
    client.send(HEAD + b"o")
    await asyncio.sleep(HEAD_SECONDS * 1.2)
    client.send(b"k")
    assert (await client.answer()).endswith(b"ok")
