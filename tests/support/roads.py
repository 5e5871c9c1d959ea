"""The roads to a stack's store: over the Data API, to Postgres itself, and through a pooler.

`pooled` is a pooler in transaction mode, `in sessions` one in session mode.

FAULT_ROADS says which of the first two the fault runs take, by turns: `direct` alone, for example.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from local.stack import Stack
from shared.config import Settings
from shared.persistence import Persistence
from shared.persistence.http_pool import create_pool
from shared.persistence.roads import create_road
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.bundle import settings_for
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer

DIRECT = pytest.param("direct", marks=pytest.mark.stack)
POOLED = pytest.param("pooled", marks=[pytest.mark.stack, needs_pgbouncer])
IN_SESSIONS = pytest.param("in sessions", marks=[pytest.mark.stack, needs_pgbouncer])
FAULT_ROADS = os.environ.get("FAULT_ROADS", "data_api,direct").split(",")
ROADS = [pytest.param("data_api", marks=pytest.mark.stack), DIRECT, POOLED, IN_SESSIONS]


@contextlib.contextmanager
def url_of(road: str, stack: Stack) -> Iterator[str]:
    """Give what SUPABASE_DB_URL is on this road."""
    if road == "pooled":
        with pgbouncer(stack.settings.direct_url) as url:
            yield url
    elif road == "in sessions":  # a connection of the pooler's for each that is open
        with pgbouncer(stack.settings.direct_url, mode="session", size=20) as url:
            yield url
    else:
        yield stack.settings.direct_url if road == "direct" else "off"


def fault_road(number: int, stack: Stack) -> dict[str, str]:
    """Return the environment of a process that takes the next of the roads."""
    is_direct = FAULT_ROADS[number % len(FAULT_ROADS)] == "direct"
    return {"SUPABASE_DB_URL": stack.settings.direct_url} if is_direct else {}


@contextlib.contextmanager
def settings_by(road: str, stack: Stack, **overrides: Any) -> Iterator[Settings]:
    """Give the bundle's settings for a stack by this road."""
    with url_of(road, stack) as url:
        yield settings_for(stack, supabase_db_url=url, **overrides)


@contextlib.asynccontextmanager
async def store_by(
    road: str, stack: Stack, *, seconds: float = 30, places: int = 10
) -> AsyncIterator[Persistence]:
    """Give a store by this road."""
    with settings_by(road, stack, store_timeout=seconds, lease_seconds=100) as settings:
        async with create_pool(settings) as pool:
            way = create_road(settings, pool)
            yield Persistence(Store(way, timeout=seconds, places=StorePlaces(places)))
            await way.aclose()
