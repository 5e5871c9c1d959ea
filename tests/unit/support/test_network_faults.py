"""The proxy that the faults here are made with: what it says is broken is broken."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.support.network_faults import proxy_to

STEPS = 12  # of the event loop, until a connection has been made for sure


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that sends back what it is sent."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def heard_on(connection: socket.socket) -> bytes:
    """Say something and return what comes back."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, b"Anyone?")
    return await asyncio.wait_for(loop.sock_recv(connection, 100), timeout=10)


@pytest.mark.promise("Postgres away", red="a proxy that went down serves what was being connected")
@pytest.mark.parametrize("steps", range(STEPS))
async def test_nothing_gets_through_a_proxy_that_went_down(echo: int, steps: int) -> None:
    """However far a connection had come by then: it is reset, neither served nor left hanging."""
    async with proxy_to(echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as caller:
            caller.setblocking(False)
            for _ in range(steps):
                await asyncio.sleep(0)
            await proxy.down()
            with pytest.raises(ConnectionError):
                await heard_on(caller)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
        await proxy.up()
        with socket.create_connection(("127.0.0.1", proxy.port)) as caller:
            caller.setblocking(False)
            assert await heard_on(caller) == b"Anyone?"
