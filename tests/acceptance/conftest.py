"""The functions as the service calls them."""

from collections.abc import AsyncIterator

import httpx
import pytest

from local.stack import Stack
from tests.support.users import functions_client


@pytest.fixture
async def service(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client that carries the secret key and no token."""
    key = stack.settings.environment()["SUPABASE_SECRET_KEY"]
    async with functions_client(stack.settings.url, apikey=key) as client:
        yield client
