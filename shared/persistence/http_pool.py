"""The process's one pool of HTTP connections: to the Data API, to Realtime, to Auth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

if TYPE_CHECKING:
    from ..config import Settings

OTHER_CONNECTIONS = 20  # for what isn't the store: live events, keys


def create_pool(settings: Settings) -> httpx.AsyncClient:
    """Return the pool. Callers bound whole calls; this bounds single steps."""
    timeout = httpx.Timeout(settings.store_timeout, connect=min(3.0, settings.store_timeout))
    most = settings.store_connections + OTHER_CONNECTIONS
    transport = AiohttpTransport(client=partial(_open_session, most))
    return httpx.AsyncClient(timeout=timeout, transport=transport, follow_redirects=False)


def _open_session(most: int) -> aiohttp.ClientSession:
    """Return what sends and parses: httpx's own transport takes several times its CPU."""
    connector = aiohttp.TCPConnector(limit=most, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
