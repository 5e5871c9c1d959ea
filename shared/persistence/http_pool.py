"""The process's one pool of HTTP connections: to the Data API, to Realtime, to Auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from ..config import Settings

OTHER_CONNECTIONS = 20  # for what isn't the store: live events, keys


def create_pool(settings: Settings) -> httpx.AsyncClient:
    """Return the pool. Callers bound whole calls; this bounds single steps."""
    timeout = httpx.Timeout(settings.store_timeout, connect=min(3.0, settings.store_timeout))
    most = settings.store_connections + OTHER_CONNECTIONS
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30)
    return httpx.AsyncClient(timeout=timeout, limits=limits, http2=False, follow_redirects=False)
