"""A small HTTP server in front of a stack that passes calls on, counts them, or spoils them.

Each call is known by the last part of its path: `begin_turn`, `broadcast`, `jwks.json`. `on` says
what happens to calls of one name, and `on_everything` to all others.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

DRIP_SECONDS = 0.05
HOP_BY_HOP = {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}


@dataclass
class Exchange:
    """One call: what was asked, and the means to answer it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    upstream: httpx.AsyncClient
    writer: asyncio.StreamWriter

    async def forward(self) -> httpx.Response:
        """Let the stack do what was asked, and return its answer."""
        headers = [(name, value) for name, value in self.headers if name != "host"]
        return await self.upstream.request(
            self.method, self.path, headers=headers, content=self.body
        )

    async def answer(self, answer: httpx.Response) -> None:
        """Give the caller the stack's answer."""
        headers = answer.headers.multi_items()
        await self.send(_answer(answer.status_code, headers, answer.content))

    async def send(self, raw: bytes) -> None:
        """Write bytes to the caller."""
        self.writer.write(raw)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection the hard way."""
        reset(self.writer)


Behaviour = Callable[[Exchange], Awaitable[None]]


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset rather than an orderly end."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):  # it may be closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _answer(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    kept = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
    lines = [f"{name}: {value}" for name, value in kept]
    lines += [f"content-length: {len(body)}", "connection: close"]
    return f"HTTP/1.1 {status} -\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def passes(exchange: Exchange) -> None:
    """Answer what the stack answers."""
    await exchange.answer(await exchange.forward())


async def refuses(exchange: Exchange) -> None:
    """Reset the connection before anything was done."""
    exchange.reset()


async def hangs(exchange: Exchange) -> None:
    """Take the call and never answer."""
    await asyncio.Event().wait()


async def drops_the_answer(exchange: Exchange) -> None:
    """Let the stack do its work, then break the connection."""
    await exchange.forward()
    exchange.reset()


def cut_after(seconds: float, cut: list[str]) -> Behaviour:
    """Answer what the stack answers in time; else cut the call, which goes on, and note it."""
    going_on = set[asyncio.Task[httpx.Response]]()

    async def behave(exchange: Exchange) -> None:
        forwarding = asyncio.create_task(exchange.forward())
        done, _ = await asyncio.wait({forwarding}, timeout=seconds)
        if not done:
            going_on.add(forwarding)
            forwarding.add_done_callback(going_on.discard)
            cut.append(exchange.path)
            await exchange.send(_answer(504, [], b"upstream request timeout"))
            return
        answer = forwarding.result()
        headers = answer.headers.multi_items()
        await exchange.send(_answer(answer.status_code, headers, answer.content))

    return behave


async def resets_mid_body(exchange: Exchange) -> None:
    """Send half of the stack's answer, then break the connection."""
    answer = await exchange.forward()
    raw = _answer(answer.status_code, answer.headers.multi_items(), answer.content)
    await exchange.send(raw[: -len(answer.content) // 2])
    exchange.reset()


async def drips(exchange: Exchange) -> None:
    """Send an answer that is on its way for ever, a byte at a time."""
    await exchange.send(b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\n")
    await exchange.send(b"content-length: 1000000\r\n\r\n{")
    while not exchange.writer.is_closing():
        await exchange.send(b" ")
        await asyncio.sleep(DRIP_SECONDS)


def late(seconds: float) -> Behaviour:
    """Answer what the stack answers, after so long."""

    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await passes(exchange)

    return behave


def once(behaviour: Behaviour) -> Behaviour:
    """Do this to the first call, and pass on the others."""
    left = [behaviour]

    async def behave(exchange: Exchange) -> None:
        await (left.pop() if left else passes)(exchange)

    return behave


def replies(status: int, body: Any, **headers: str) -> Behaviour:
    """Answer this without asking the stack; bytes go out as they are, all else as JSON."""
    is_raw = isinstance(body, bytes)
    content = body if is_raw else json.dumps(body).encode()
    typed = {"content_type": "text/html" if is_raw else "application/json", **headers}
    listed = [(name.replace("_", "-"), value) for name, value in typed.items()]

    async def behave(exchange: Exchange) -> None:
        await exchange.send(_answer(status, listed, content))

    return behave


@dataclass
class Proxy:
    """The running proxy: its address, what it saw, and how it treats what comes."""

    url: str = ""
    calls: list[str] = field(default_factory=list)
    rpc_calls: list[str] = field(default_factory=list)
    _named: dict[str, Behaviour] = field(default_factory=dict)
    _otherwise: Behaviour = passes

    def on(self, name: str, behaviour: Behaviour) -> None:
        """Treat calls of this name like this."""
        self._named[name] = behaviour

    def on_everything(self, behaviour: Behaviour) -> None:
        """Treat every call that has no behaviour of its own like this."""
        self._otherwise = behaviour

    def heal(self) -> None:
        """Pass everything on again."""
        self._named.clear()
        self._otherwise = passes

    async def treat(self, exchange: Exchange) -> None:
        """Remember the call, then do to it what was said."""
        name = exchange.path.split("?")[0].rsplit("/", 1)[-1]
        self.calls.append(name)
        if exchange.path.startswith("/rest/v1/rpc/"):
            self.rpc_calls.append(name)
        await self._named.get(name, self._otherwise)(exchange)


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of this address, for as long as the block lasts."""
    proxy = Proxy()
    serving: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(base_url=url, timeout=30) as upstream:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                await proxy.treat(await _read(reader, writer, upstream))
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, httpx.HTTPError):
                pass  # either side is gone, or the test is over
            finally:
                serving.discard(task)
                writer.close()
                with suppress(OSError, asyncio.CancelledError):
                    await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield proxy
        finally:
            server.close()
            for task in list(serving):
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: httpx.AsyncClient
) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    pairs = [line.partition(":") for line in lines if line]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    length = int(dict(headers).get("content-length", "0"))
    return Exchange(method, path, headers, await reader.readexactly(length), upstream, writer)
