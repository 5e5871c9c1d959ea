"""The bundle with an engine that answers at once, so that only our own work is measured."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from functions import app as bundle
from shared.ai import EngineEvent, EngineRequest, EngineResult, Finished
from shared.config import load_settings
from shared.container import Container


class InstantEngine:
    """Replies with one word."""

    name = "instant"

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the result."""
        yield Finished(EngineResult(success=True, message="Done.", engine=self.name))


def make_app() -> FastAPI:
    """Return the bundle, at its usual addresses."""
    settings = load_settings()
    app = bundle.make_app(settings=settings)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def with_instant_engine(app: FastAPI) -> AsyncIterator[None]:
        async with start(app):
            app.state.container = Container(settings, engine=InstantEngine())
            yield

    app.router.lifespan_context = with_instant_engine
    return app
