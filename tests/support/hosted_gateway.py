"""A gateway as a hosted project has it, in front of a stack: keys, time and the pool behind it.

What it does to calls of the Data API is what was read of the platform's:

- an opaque key (`sb_...`) is translated to its role: Postgres's side sees a token, and never a key;
- a call that takes too long is cut, and the statement behind it goes on;
- ten calls are in Postgres at a time, and a cut one keeps its place until it has ended. Others wait
  for ten seconds, and are then answered 504 with PGRST003.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from local.stack import Stack
from tests.support.proxy import Behaviour, Exchange, Proxy, passes, proxy_to, replies
from tests.support.tokens import signed

REST = "/rest/v1/"
TOKEN_SECONDS = 300

NO_KEY = replies(401, {"message": "No API key found in request"})
WRONG_KEY = replies(401, {"message": "Invalid API key"})
CUT_OFF = replies(504, b"upstream request timeout")
POOL_IS_FULL = replies(
    504,
    {
        "code": "PGRST003",
        "message": "Timed out acquiring connection from connection pool.",
        "details": None,
        "hint": None,
    },
)


@dataclass
class HostedGateway:
    """The gateway's settings, and what it saw."""

    roles: dict[str, str]  # by opaque key
    publishable_key: str
    jwt_secret: str
    cut_seconds: float = 60.0
    connections: int = 10
    pool_wait_seconds: float = 10.0
    url: str = ""
    at_once: int = 0  # calls that run or wait
    most_at_once: int = 0
    failed: list[str] = field(default_factory=list)  # the paths of those cut or without a place
    shown: set[str] = field(default_factory=set)  # the kinds of bearer that came
    pool: asyncio.Semaphore = field(init=False)
    _running: set[asyncio.Task[httpx.Response]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pool = asyncio.Semaphore(self.connections)

    async def treat(self, exchange: Exchange) -> None:
        """Do to a call what the platform's gateway does."""
        if not exchange.path.startswith(REST):
            await passes(exchange)
            return
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self._translated(exchange) or self._answered)(exchange)
        finally:
            self.at_once -= 1

    def _translated(self, exchange: Exchange) -> Behaviour | None:
        """Put a token in the place of an opaque key, or return what refuses the call."""
        headers = dict(exchange.headers)
        key = headers.get("apikey", "")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        self.shown.add("key" if bearer.startswith("sb_") else "token" if bearer else "none")
        if not key:
            return NO_KEY
        if key not in self.roles:
            return WRONG_KEY
        if not bearer or bearer.startswith("sb_"):
            bearer = self._token_of(self.roles[key])
        # The stack's own Data API wants a key beside the token; what counts there is the token.
        headers |= {"apikey": self.publishable_key, "authorization": f"Bearer {bearer}"}
        exchange.headers = list(headers.items())
        return None

    def _token_of(self, role: str) -> str:
        now = int(time.time())
        return signed({"role": role, "iat": now, "exp": now + TOKEN_SECONDS}, self.jwt_secret)

    async def _answered(self, exchange: Exchange) -> None:
        """Answer what the Data API does, if there is a place for it and it ends in time."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.pool_wait_seconds):
                await self.pool.acquire()
        except TimeoutError:
            await self._failed(exchange, POOL_IS_FULL)
            return
        running = asyncio.create_task(exchange.forward())
        self._running.add(running)
        running.add_done_callback(self._ended)
        left = self.cut_seconds - (time.monotonic() - began)
        done, _ = await asyncio.wait({running}, timeout=max(left, 0))
        if done:
            await exchange.answer(running.result())
        else:
            await self._failed(exchange, CUT_OFF)

    def _ended(self, running: asyncio.Task[httpx.Response]) -> None:
        self._running.discard(running)
        self.pool.release()

    async def _failed(self, exchange: Exchange, behaviour: Behaviour) -> None:
        self.failed.append(exchange.path)
        await behaviour(exchange)

    async def settle(self) -> None:
        """Wait until what was cut has ended."""
        await asyncio.gather(*self._running, return_exceptions=True)


@asynccontextmanager
async def hosted_gateway(
    stack: Stack,
    *,
    cut_seconds: float = 60.0,
    connections: int = 10,
    pool_wait_seconds: float = 10.0,
) -> AsyncIterator[HostedGateway]:
    """Run such a gateway in front of a stack."""
    environment = stack.settings.environment()
    publishable = environment["SUPABASE_PUBLISHABLE_KEY"]
    gateway = HostedGateway(
        roles={publishable: "anon", environment["SUPABASE_SECRET_KEY"]: "service_role"},
        publishable_key=publishable,
        jwt_secret=environment["SUPABASE_JWT_SECRET"],
        cut_seconds=cut_seconds,
        connections=connections,
        pool_wait_seconds=pool_wait_seconds,
    )
    proxy: Proxy
    async with proxy_to(stack.settings.url) as proxy:
        proxy.on_everything(gateway.treat)
        gateway.url = proxy.url
        yield gateway
        await gateway.settle()
