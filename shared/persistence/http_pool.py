"""The process's one pool of HTTP connections: to the Data API, to Realtime, to Auth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

if TYPE_CHECKING:
    from ..config import Settings

OTHER_CONNECTIONS = 20  # for what isn't the store: live events, keys


class Pool(httpx.AsyncClient):
    """Sends without what nobody here has a use for: cookies, redirects, authentication by steps.

    httpx takes nearly as long for these as to send.
    """

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **_: Any
    ) -> httpx.Response:
        """Send a request; return its response, whole unless it is a `stream`."""
        if self.is_closed:
            raise RuntimeError("The pool is closed.")
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response


def create_pool(settings: Settings) -> httpx.AsyncClient:
    """Return the pool. Callers bound whole calls; this bounds single steps."""
    timeout = httpx.Timeout(settings.store_timeout, connect=min(3.0, settings.store_timeout))
    most = settings.store_connections + OTHER_CONNECTIONS
    transport = AiohttpTransport(client=partial(_open_session, most))
    return Pool(timeout=timeout, transport=transport)


def _open_session(most: int) -> aiohttp.ClientSession:
    """Return what sends and parses: httpx's own transport takes several times its CPU."""
    connector = aiohttp.TCPConnector(limit=most, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
