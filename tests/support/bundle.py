"""The bundle inside the test process, on the real stack, with settings and an engine of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from functions.app import create_app
from local.stack import Stack
from shared.ai.protocol import Engine, Summariser
from shared.config import Settings, load_settings
from shared.container import Container


def settings_for(stack: Stack, **overrides: Any) -> Settings:
    """Return the bundle's settings for a stack, from nothing but the stack and the overrides."""
    environment = stack.settings.environment()
    values = {
        "supabase_url": environment["SUPABASE_URL"],
        "SUPABASE_PUBLISHABLE_KEY": environment["SUPABASE_PUBLISHABLE_KEY"],
        "SUPABASE_SECRET_KEY": environment["SUPABASE_SECRET_KEY"],
        "supabase_jwt_secret": environment["SUPABASE_JWT_SECRET"],
    }
    return load_settings(_env_file=None, **{**values, **overrides})


@asynccontextmanager
async def bundle(
    settings: Settings,
    *,
    token: str,
    engine: Engine | None = None,
    summariser: Summariser | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the bundle in this process to a client that carries this token."""
    app = create_app(settings=settings)
    app.state.container = Container(settings, engine=engine, summariser=summariser)
    transport = httpx.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://bundle/functions/v1", headers=headers, timeout=60
    ) as client:
        yield client
    await app.state.container.aclose()


def container_of(client: httpx.AsyncClient) -> Container:
    """Return what the bundle behind this client holds."""
    transport: Any = client._transport
    container: Container = transport.app.state.container
    return container
