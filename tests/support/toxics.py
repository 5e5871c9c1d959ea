"""A TCP proxy that misbehaves on demand, with toxiproxy's verbs. Put between any two parts.

Toxics act on new and on open connections alike, and each counts how often it bit, so that a test
can say that its fault really happened.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK = 16_384


@dataclass
class Toxics:
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
    """Forwards one port of 127.0.0.1 to another, through its toxics."""

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.toxics = Toxics()
        self.port = port
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Listen, on the same port as before where there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse new connections and reset the open ones."""
        self.toxics.bites["down"] += 1
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            _reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset_all(self) -> None:
        """Reset every open connection; new ones are welcome."""
        self.toxics.bites["reset"] += 1
        for writer in list(self._open):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.toxics.reset:
            self.toxics.bites["reset"] += 1
            _reset(writer)
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        self._open |= {writer, upstream[1]}
        pumps = [
            asyncio.create_task(self._pump(reader, upstream[1], is_answer=False)),
            asyncio.create_task(self._pump(upstream[0], writer, is_answer=True)),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._tasks.difference_update(pumps)
            for end in (writer, upstream[1]):
                self._open.discard(end)
                end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while data := await reader.read(CHUNK):
                if await self._bites(writer, is_answer=is_answer, passed=passed + len(data)):
                    return
                for piece in self._pieces(data):
                    writer.write(piece)
                    await writer.drain()
                    await self._throttle(len(piece))
                passed += len(data)

    async def _bites(self, writer: asyncio.StreamWriter, *, is_answer: bool, passed: int) -> bool:
        """Apply what stops the data; say whether the connection is over."""
        toxics = self.toxics
        if toxics.latency:
            toxics.bites["latency"] += 1
            await asyncio.sleep(toxics.latency)
        if toxics.hang:
            toxics.bites["hang"] += 1
            await asyncio.Event().wait()
        is_cut = toxics.limit is not None and passed > toxics.limit
        for name, applies in (
            ("reset", toxics.reset),
            ("drop_answer", toxics.drop_answer and is_answer),
            ("limit", is_cut and is_answer),
        ):
            if applies:
                toxics.bites[name] += 1
                _reset(writer)
                return True
        return False

    def _pieces(self, data: bytes) -> list[bytes]:
        size = self.toxics.slice_to
        if not size:
            return [data]
        self.toxics.bites["slice"] += 1
        return [data[start : start + size] for start in range(0, len(data), size)]

    async def _throttle(self, size: int) -> None:
        if self.toxics.bandwidth:
            self.toxics.bites["bandwidth"] += 1
            await asyncio.sleep(size / self.toxics.bandwidth)


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a port of 127.0.0.1."""
    proxy = Proxy(port)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset rather than an orderly end."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
