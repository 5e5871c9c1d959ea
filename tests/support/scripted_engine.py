"""Engines that play a script, and a reader of their events."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from shared.ai.protocol import (
    Analysis,
    AnalysisReady,
    Complexity,
    Engine,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    HistoryMessage,
    Intent,
    TextDelta,
)
from shared.ai.streams import closing

READY = AnalysisReady(
    Analysis(intent=Intent.OTHER, complexity=Complexity.SIMPLE, strategy="direct_answer")
)


class HangError(Exception):
    """Stands in a script for an await that never ends."""


class HangOnCloseError(Exception):
    """Stands in a script for a hang whose cleanup hangs too."""


@dataclass
class EventEngine:
    """Yields the events of its script and raises the exceptions in it."""

    script: Sequence[EngineEvent | BaseException]
    name: str = "scripted"
    closed: bool = False
    asked: list[tuple[str, list[HistoryMessage]]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        self.asked.append((asked.text, list(asked.history)))
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    await self._fail(step)
                else:
                    yield step
        finally:
            self.closed = True

    async def _fail(self, step: BaseException) -> None:
        if isinstance(step, HangError):
            await asyncio.Event().wait()
        if isinstance(step, HangOnCloseError):
            try:
                await asyncio.Event().wait()
            finally:
                await self.released.wait()
        raise step


@dataclass(frozen=True)
class Recording:
    """What an engine yielded."""

    events: list[EngineEvent]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def analysis(self) -> Analysis:
        (ready,) = [event for event in self.events if isinstance(event, AnalysisReady)]
        return ready.analysis

    @property
    def result(self) -> EngineResult:
        results = [event.result for event in self.events if isinstance(event, Finished)]
        assert len(results) == 1, "a stream has exactly one result"
        assert isinstance(self.events[-1], Finished), "the result is the last event"
        return results[0]

    @property
    def error_type(self) -> str | None:
        return self.result.error.type if self.result.error else None


async def record(
    engine: Engine, request: str = "Hello", history: Sequence[HistoryMessage] = ()
) -> Recording:
    async with closing(engine.run(EngineRequest(request, history))) as events:
        return Recording([event async for event in events])


def done(message: str, **fields: object) -> Finished:
    """Return a good result with this message."""
    values = {"success": True, "message": message, "engine": "scripted", **fields}
    return Finished(EngineResult.model_validate(values))


def rows(*contents: tuple[str, str]) -> list[HistoryMessage]:
    """Return history rows from pairs of role and content."""
    return [
        HistoryMessage.model_validate({"seq": seq, "role": role, "content": content})
        for seq, (role, content) in enumerate(contents, start=1)
    ]
