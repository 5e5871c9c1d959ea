"""Engines, and a summariser, that do what a test needs: fail, hang, wait, count their runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from shared.ai.protocol import (
    Analysis,
    AnalysisReady,
    Complexity,
    EngineError,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    HistoryMessage,
    Intent,
    SummaryText,
    TextDelta,
    Usage,
)

ANALYSIS = Analysis(intent=Intent.EXPLAIN, complexity=Complexity.SIMPLE, strategy="direct_answer")


class ScriptedEngine:
    """Gives one fixed result, and remembers what it was asked with.

    `hold` makes every run wait for `release`; `started` is set when one has begun.
    """

    name = "scripted"

    def __init__(
        self, message: str = "Done.", *, hold: bool = False, usage: Usage | None = None
    ) -> None:
        self.message = message
        self.usage = usage
        self.requests: list[str] = []
        self.histories: list[list[HistoryMessage]] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        if not hold:
            self.release.set()

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the analysis, the text and the result."""
        self.requests.append(asked.text)
        self.histories.append(list(asked.history))
        self.started.set()
        await self.release.wait()
        yield AnalysisReady(ANALYSIS)
        yield TextDelta(self.message)
        result = EngineResult(
            success=True, message=self.message, engine=self.name, usage=self.usage
        )
        yield Finished(result)


class FailingEngine:
    """Fails as a provider does, after it has written something or nothing."""

    name = "failing"

    def __init__(self, error_type: str = "provider_unavailable", *, written: str = "") -> None:
        self.written = written
        self.error = EngineError.model_validate(
            {"type": error_type, "message": "The AI provider could not answer."}
        )

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield what was written, then the failure."""
        if self.written:
            yield TextDelta(self.written)
        yield Finished(
            EngineResult(
                success=False, message=self.error.message, error=self.error, engine=self.name
            )
        )


class HangingEngine:
    """Never ends by itself."""

    name = "hanging"

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield an analysis, then nothing more."""
        yield AnalysisReady(ANALYSIS)
        await asyncio.Event().wait()


class TypingEngine:
    """Writes one piece of text, or gives one event, for each permit it is given, then ends."""

    name = "typing"

    def __init__(self, pieces: Sequence[str | EngineEvent]) -> None:
        self.pieces = list(pieces)
        self.runs = 0
        self.permits = asyncio.Semaphore(0)

    def allow(self, count: int = 1) -> None:
        """Let it write so many pieces more; the end needs one permit too."""
        for _ in range(count):
            self.permits.release()

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the analysis, each piece as it is allowed, and the result."""
        self.runs += 1
        yield AnalysisReady(ANALYSIS)
        for piece in self.pieces:
            await self.permits.acquire()
            yield TextDelta(piece) if isinstance(piece, str) else piece
        await self.permits.acquire()
        message = "".join(piece for piece in self.pieces if isinstance(piece, str))
        yield Finished(EngineResult(success=True, message=message, engine=self.name))


class ScriptedSummariser:
    """Returns one text, and remembers what it was asked with.

    `hold` makes every call wait for `release`; `started` is set when one has begun.
    """

    name = "scripted"

    def __init__(
        self, text: str = "Summed up.", *, hold: bool = False, error: Exception | None = None
    ) -> None:
        self.text = text
        self.error = error
        self.usage: Usage | None = None
        self.asked: list[tuple[list[int], str | None]] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        if not hold:
            self.release.set()

    async def summarise(
        self, messages: Sequence[HistoryMessage], *, previous: str | None, tokens: int
    ) -> SummaryText:
        """Return the text or raise the error."""
        self.asked.append(([message.seq for message in messages], previous))
        self.started.set()
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return SummaryText(text=self.text, usage=self.usage)
