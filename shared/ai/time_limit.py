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


class _TimeIsUpError(Exception):
    """A run has taken as long as it may: no other timeout is meant by it."""


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
        deadline = asyncio.get_running_loop().time() + self._seconds
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        events = self._inner.run(asked)
        reader = asyncio.create_task(_read(events, queue, deadline=deadline))
        reader.add_done_callback(lambda _: queue.put_nowait(None))
        text: list[str] = []
        try:
            while (event := await _next(queue, deadline)) is not None:
                yield event
                if isinstance(event, Finished):
                    return
                if isinstance(event, TextDelta):
                    text.append(event.text)
            _raise_its_error(reader)
        except _TimeIsUpError:
            reader.cancel()
            yield Finished(self._timed_out("".join(text)))
        finally:
            await _stop(reader, self._close_seconds)

    def _timed_out(self, partial: str) -> EngineResult:
        return failed_result(engine_error("timeout"), engine=self.name, partial=partial)


async def _next(queue: asyncio.Queue[EngineEvent | None], deadline: float) -> EngineEvent | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await queue.get()
    except TimeoutError:
        raise _TimeIsUpError from None


async def _read(
    events: AsyncIterator[EngineEvent],
    queue: asyncio.Queue[EngineEvent | None],
    *,
    deadline: float,
) -> None:
    """Move events to the queue, giving the consumer a turn after each."""
    loop = asyncio.get_running_loop()
    async with closing(events):
        async for event in events:
            queue.put_nowait(event)
            if loop.time() >= deadline:
                raise _TimeIsUpError
            await asyncio.sleep(0)


def _raise_its_error(reader: asyncio.Task[None]) -> None:
    if not reader.cancelled() and (error := reader.exception()) is not None:
        raise error


async def _stop(reader: asyncio.Task[None], seconds: float) -> None:
    reader.cancel()
    _stopping.add(reader)
    reader.add_done_callback(_forget)
    await asyncio.wait({reader}, timeout=seconds)


def _forget(reader: asyncio.Task[None]) -> None:
    _stopping.discard(reader)
    if not reader.cancelled():
        reader.exception()
