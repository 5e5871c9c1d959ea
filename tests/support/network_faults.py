"""A TCP proxy that misbehaves on demand, with toxiproxy's verbs. Put between any two parts.

Faults act on new and on open connections alike, and each counts how often it bit, so that a test
can say that its fault really happened.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.proxy import reset

CHUNK = 16_384


@dataclass
class Faults:
    """What is wrong right now. Bytes and seconds; None and False mean that nothing is.

    latency      wait before passing anything on
    bandwidth    bytes a second
    slice_to     pass on pieces of so many bytes
    limit        cut the connection after so many bytes of the answer
    hang         take everything in, pass nothing on
    reset        end connections with a TCP reset
    drop_answer  pass the request on, then reset instead of answering
    """

    latency: float | None = None
    bandwidth: int | None = None
    slice_to: int | None = None
    limit: int | None = None
    hang: bool = False
    reset: bool = False
    drop_answer: bool = False
    bites: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Behave again."""
        self.latency = self.bandwidth = self.slice_to = self.limit = None
        self.hang = self.reset = self.drop_answer = False


class Proxy:
    """Forwards one port of 127.0.0.1 to another, through its faults."""

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.faults = Faults()
        self.port = port
        self._upstream = upstream
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()  # for the connections of now

    async def up(self) -> None:
        """Listen, on the same port as before where there was one."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def down(self) -> None:
        """Refuse new connections; reset the open ones, and those that are being made."""
        self.faults.bites["down"] += 1
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._end_all()
        await asyncio.gather(*self._connections)

    def reset_all(self) -> None:
        """Reset every open connection; new ones are welcome."""
        self.faults.bites["reset"] += 1
        self._end_all()

    def _end_all(self) -> None:
        self._over.set()
        self._over = asyncio.Event()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # whoever knocked has gone
            return
        connection.setblocking(False)
        task = asyncio.create_task(self._serve(connection, self._over))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket, over: asyncio.Event) -> None:
        """Be one connection from its first byte to its last; where it is cut short, reset it."""
        reader, writer = await asyncio.open_connection(sock=connection)
        ends = [writer]
        try:
            if self.faults.reset:
                raise self._bite("reset")
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            ends.append(upstream[1])
            if over.is_set():
                raise ConnectionResetError
            await _first_of(
                self._until(over),
                self._pump(reader, upstream[1], is_answer=False),
                self._pump(upstream[0], writer, is_answer=True),
            )
        except OSError:
            for end in ends:
                reset(end)
        finally:
            for end in ends:
                end.close()

    async def _until(self, over: asyncio.Event) -> None:
        await over.wait()
        raise ConnectionResetError

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            passed += len(data)
            await self._hold_up()
            self._cut(is_answer=is_answer, passed=passed)
            for piece in self._pieces(data):
                writer.write(piece)
                await writer.drain()
                await self._throttle(len(piece))

    async def _hold_up(self) -> None:
        if self.faults.latency:
            self.faults.bites["latency"] += 1
            await asyncio.sleep(self.faults.latency)
        if self.faults.hang:
            self.faults.bites["hang"] += 1
            await asyncio.Event().wait()

    def _cut(self, *, is_answer: bool, passed: int) -> None:
        faults = self.faults
        if faults.reset:
            raise self._bite("reset")
        if faults.drop_answer and is_answer:
            raise self._bite("drop_answer")
        if faults.limit is not None and is_answer and passed > faults.limit:
            raise self._bite("limit")

    def _bite(self, name: str) -> ConnectionResetError:
        self.faults.bites[name] += 1
        return ConnectionResetError(name)

    def _pieces(self, data: bytes) -> list[bytes]:
        size = self.faults.slice_to
        if not size:
            return [data]
        self.faults.bites["slice"] += 1
        return [data[start : start + size] for start in range(0, len(data), size)]

    async def _throttle(self, size: int) -> None:
        if self.faults.bandwidth:
            self.faults.bites["bandwidth"] += 1
            await asyncio.sleep(size / self.faults.bandwidth)


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a port of 127.0.0.1."""
    proxy = Proxy(port)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()


async def _first_of(*pumps: Coroutine[Any, Any, None]) -> None:
    """Wait for the first to end, and take the others along."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
