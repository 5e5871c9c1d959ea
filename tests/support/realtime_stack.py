"""The broadcast server on a Postgres of its own, and a bare client that speaks its protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect

from local import database
from tests.support.postgres import Server, new_server
from tests.support.stack import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-tests-with-32-bytes-or-more"
PUBLISHABLE_KEY = "sb_publishable_tests"
SECRET_KEY = "sb_secret_tests"
PATIENCE = 15.0

# A user owns the topics room:<user>:...; it may send to those that go on with
# "open:", unless its token says that it is muted.
POLICIES = """
create policy listen on realtime.messages for select to authenticated
    using (realtime.topic() like 'room:' || (select auth.uid())::text || ':%'
           and extension = 'broadcast');
create policy send on realtime.messages for insert to authenticated
    with check (realtime.topic() like 'room:' || (select auth.uid())::text || ':open:%'
                and current_setting('request.jwt.claims')::jsonb ->> 'muted' is null);
"""


def token_for(user: str, *, seconds: int = 600, secret: str = SECRET, **claims: Any) -> str:
    payload = {"sub": user, "role": "authenticated", "exp": int(time.time()) + seconds, **claims}
    return jwt.encode(payload, secret, algorithm="HS256")


@dataclass
class RealtimeStack:
    postgres: Server = field(default_factory=new_server)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/realtime/v1"

    def start(self) -> None:
        self.postgres.start()
        database.shape(self.postgres.url())
        self.postgres.execute(POLICIES)
        self.start_server()

    def start_server(self, *, events_per_second: float = 100_000, tick_seconds: float = 5) -> None:
        environment = {
            "LOCAL_REALTIME_EVENTS_PER_SECOND": str(events_per_second),
            "LOCAL_REALTIME_TICK_SECONDS": str(tick_seconds),
            "LOCAL_DB_URL": self.postgres.url(),
            "SUPABASE_JWT_SECRET": SECRET,
            "SUPABASE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
            "SUPABASE_SECRET_KEY": SECRET_KEY,
        }
        command = [sys.executable, "-m", "local.realtime", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
        self.wait_for_health(200)

    def stop(self) -> None:
        self.stop_server()
        self.postgres.remove()

    def stop_server(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def wait_for_health(self, status: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._health() != status:
            assert time.monotonic() < deadline, f"health never became {status}"
            time.sleep(0.02)

    def _health(self) -> int:
        try:
            return httpx.get(f"{self.url}/health").status_code
        except httpx.TransportError:
            return 0

    def socket_url(self, key: str = PUBLISHABLE_KEY, version: str = "2.0.0") -> str:
        query = urlencode({"apikey": key, "vsn": version})
        return f"ws://127.0.0.1:{self.port}/realtime/v1/websocket?{query}"

    @asynccontextmanager
    async def client(
        self, key: str = PUBLISHABLE_KEY, version: str = "2.0.0", **options: Any
    ) -> AsyncIterator[RawClient]:
        async with connect(self.socket_url(key, version), max_size=None, **options) as websocket:
            yield RawClient(websocket, version)


@dataclass
class Owner:
    """A user that nobody else has, with a room of its own."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def token(self) -> str:
        return token_for(self.id)

    @property
    def open_topic(self) -> str:
        return f"room:{self.id}:open:lobby"

    @property
    def quiet_topic(self) -> str:
        return f"room:{self.id}:quiet:lobby"


class RawClient:
    """Sends and reads frames of either version; what was read and not asked for is kept."""

    def __init__(self, websocket: ClientConnection, version: str) -> None:
        self.websocket = websocket
        self.version = version
        self.unread: list[dict[str, Any]] = []
        self._refs = itertools.count(1)

    async def send(
        self, topic: str, event: str, payload: Any, *, join_ref: str | None = None
    ) -> str:
        ref = str(next(self._refs))
        if self.version == "2.0.0":
            await self.websocket.send(json.dumps([join_ref, ref, topic, event, payload]))
        else:
            frame = {"topic": topic, "event": event, "payload": payload, "ref": ref}
            await self.websocket.send(json.dumps({**frame, "join_ref": join_ref}))
        return ref

    async def join(self, topic: str, *, token: str | None = None, **config: Any) -> dict[str, Any]:
        ref = str(next(self._refs))
        payload = {"config": config} | ({"access_token": token} if token else {})
        wire_topic = f"realtime:{topic}"
        if self.version == "2.0.0":
            await self.websocket.send(json.dumps([ref, ref, wire_topic, "phx_join", payload]))
        else:
            frame = {"topic": wire_topic, "event": "phx_join", "payload": payload, "ref": ref}
            await self.websocket.send(json.dumps({**frame, "join_ref": ref}))
        return {**await self.reply_to(ref), "ref": ref}

    async def broadcast(self, topic: str, event: str, payload: Any) -> str:
        body = {"type": "broadcast", "event": event, "payload": payload}
        return await self.send(f"realtime:{topic}", "broadcast", body)

    async def reply_to(self, ref: str) -> dict[str, Any]:
        frame = await self.wait_for(lambda frame: frame["ref"] == ref)
        assert frame["event"] == "phx_reply"
        reply: dict[str, Any] = frame["payload"]
        return reply

    async def next_broadcast(self) -> dict[str, Any]:
        frame = await self.wait_for(lambda frame: frame["event"] == "broadcast")
        payload: dict[str, Any] = frame["payload"]
        return payload

    async def next_event(self, event: str) -> dict[str, Any]:
        return await self.wait_for(lambda frame: frame["event"] == event)

    async def settle(self) -> list[dict[str, Any]]:
        """Wait until the server has acted on all that was sent; return what came until then."""
        await self.reply_to(await self.send("realtime:nowhere", "phx_leave", {}))
        unread, self.unread = self.unread, []
        return unread

    async def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for frame in self.unread:
            if wanted(frame):
                self.unread.remove(frame)
                return frame
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self._receive()
                if wanted(frame):
                    return frame
                self.unread.append(frame)

    async def _receive(self) -> dict[str, Any]:
        value = json.loads(await self.websocket.recv())
        if self.version == "1.0.0":
            assert "ref" in value
            return dict(value)
        return dict(zip(("join_ref", "ref", "topic", "event", "payload"), value, strict=True))
