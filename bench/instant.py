"""The bundle with an engine that answers at once: python -m bench.instant PORT [--pieces 100].

Only our own work is measured with it. With pieces, the reply comes in so many, a tenth of a second
apart.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from functions.__main__ import serve
from functions.app import create_app
from shared.ai.protocol import EngineEvent, EngineRequest, EngineResult, Finished, TextDelta
from shared.config import Settings, load_settings
from shared.container import Container

PIECE_SECONDS = 0.1


class InstantEngine:
    """Replies with one word, or with pieces at an even pace."""

    name = "instant"

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the text and the result."""
        for number in range(self._pieces):
            await asyncio.sleep(PIECE_SECONDS)
            yield TextDelta(f"word-{number} ")
        message = "".join(f"word-{number} " for number in range(self._pieces)) or "Done."
        yield Finished(EngineResult(success=True, message=message, engine=self.name))


def main() -> None:
    """Serve the bundle, at its usual addresses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("port", type=int)
    parser.add_argument("--pieces", type=int, default=0)
    options = parser.parse_args()
    settings = load_settings()
    app = bundle(settings, InstantEngine(options.pieces))
    serve(app, settings, host="127.0.0.1", port=options.port)


def bundle(settings: Settings, engine: InstantEngine) -> FastAPI:
    """Return the bundle with this engine in the place of the one that the settings name."""
    app = create_app(settings=settings)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def with_engine(app: FastAPI) -> AsyncIterator[None]:
        async with start(app):
            app.state.container = Container(settings, engine=engine)
            yield

    app.router.lifespan_context = with_engine
    return app


if __name__ == "__main__":
    main()
