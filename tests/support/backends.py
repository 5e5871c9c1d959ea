"""What may stand where the service would, behind its forwarders."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.edge import Edge, edge_functions
from tests.support.server import served_app
from tests.support.stack import free_ports

Answer = Callable[[Request], Awaitable[Response]]


@dataclass
class Backend:
    """Remembers what came, and answers as it is meant to."""

    answer: Answer
    heads: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.heads.append((request.method, target, request.headers.items()))
        await (await self.answer(request))(scope, receive, send)


def replies(status: int, body: str, **headers: str) -> Answer:
    """Answer always this."""

    async def answer(_: Request) -> Response:
        return Response(body, status, {name.replace("_", "-"): v for name, v in headers.items()})

    return answer


async def hangs(_: Request) -> Response:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


@asynccontextmanager
async def in_front_of(
    answer: Answer, folder: Path, **settings: str
) -> AsyncIterator[tuple[Edge, Backend]]:
    """Run forwarders in front of a backend that answers like this."""
    backend = Backend(answer)
    async with served_app(backend) as url, edge_functions(url, folder, **settings) as edge:
        yield edge, backend


def nowhere() -> str:
    """Return an address where nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"
