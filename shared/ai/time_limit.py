"""A total time limit around an engine's run, which holds whatever the engine is waiting for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .protocol import Finished, TextDelta
from .results import engine_error, failed_result
from .streams import closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .protocol import Engine, EngineEvent, EngineRequest, EngineResult

CLOSE_SECONDS: Final = 2.0

# A reader that ignores its cancellation is left behind; asyncio itself holds tasks only weakly.
_stopping: set[asyncio.Task[None]] = set()


def with_time_limit(
    engine: Engine, seconds: float, *, close_seconds: float = CLOSE_SECONDS
) -> Engine:
    """Return the engine with its whole run bounded to `seconds`.

    When time is up the stream ends with a `timeout` failure that keeps the text so far. The inner
    stream is then cancelled and closed; that is waited for at most `close_seconds`.
    """
    return _TimeLimited(engine, seconds, close_seconds)


class _TimeLimited:
    """Reads the inner stream in a task of its own, which can be left if it does not end."""

    def __init__(self, inner: Engine, seconds: float, close_seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._close_seconds = close_seconds

    @property
    def name(self) -> str:
        """Return the inner engine's name."""
        return self._inner.name

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Pass the inner events on until time is up."""
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        reader = asyncio.create_task(_read(self._inner.run(asked), queue))
        time_is_up = asyncio.Event()

        def end() -> None:
            time_is_up.set()
            queue.put_nowait(None)

        timer = asyncio.get_running_loop().call_later(self._seconds, end)
        text: list[str] = []
        try:
            while (event := await queue.get()) is not None:
                yield event
                if isinstance(event, Finished):
                    return
                if isinstance(event, TextDelta):
                    text.append(event.text)
            if time_is_up.is_set():
                yield Finished(self._timed_out("".join(text)))
            else:
                _raise_its_error(reader)
        finally:
            timer.cancel()
            await _stop(reader, self._close_seconds)

    def _timed_out(self, partial: str) -> EngineResult:
        return failed_result(engine_error("timeout"), engine=self.name, partial=partial)


async def _read(
    events: AsyncIterator[EngineEvent], queue: asyncio.Queue[EngineEvent | None]
) -> None:
    """Move events to the queue, giving the consumer a turn after each; None is behind the last."""
    try:
        async with closing(events):
            async for event in events:
                queue.put_nowait(event)
                await asyncio.sleep(0)
    finally:
        queue.put_nowait(None)


def _raise_its_error(reader: asyncio.Task[None]) -> None:
    if not reader.cancelled() and (error := reader.exception()) is not None:
        raise error


async def _stop(reader: asyncio.Task[None], seconds: float) -> None:
    _stopping.add(reader)
    reader.add_done_callback(_forget)
    if not reader.done():
        reader.cancel()
        await asyncio.wait({reader}, timeout=seconds)


def _forget(reader: asyncio.Task[None]) -> None:
    _stopping.discard(reader)
    if not reader.cancelled():
        reader.exception()
