"""Makes any engine keep the protocol's promises, in time and within the size of a reply.

Nothing but a cancellation gets past it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from ..encoding.files import parse_files
from ..encoding.parts import identity_of, problem_of
from ..encoding.sizes import MAX_TEXT_BYTES, cut_to_size, stored_size, text_size
from .protocol import (
    AnalysisReady,
    EngineResult,
    Finished,
    PartReady,
    ReasoningDelta,
    TextDelta,
)
from .results import engine_error, failed_result
from .streams import closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TypeAlias

    from ..encoding.files import GeneratedFile
    from ..encoding.parts import Part
    from .protocol import Engine, EngineEvent, EngineRequest, ErrorType

    Next: TypeAlias = EngineEvent | ErrorType  # or why there is no further event

CLOSE_SECONDS: Final = 2.0
PART_BYTES: Final = 200  # for what stands around a part, and around the text behind it

_log = structlog.get_logger(__name__)

# A reader that ignores its cancellation is left behind; asyncio itself holds tasks only weakly.
_stopping: set[asyncio.Task[None]] = set()


class Limited:
    """An engine whose every exception is a failure, and whose stream is in order and bounded.

    One analysis at most, text, and then exactly one result that agrees with the text. A blank reply
    becomes an `empty_reply` failure, a stream without a result a `provider_error`. A reply that is
    longer than `max_reply_chars`, or than a row can hold, is cut and marked as cut. After `seconds`
    it ends in a `timeout` that keeps the text so far; that the engine ends then is waited for
    `close_seconds` at most.
    """

    def __init__(
        self,
        inner: Engine,
        *,
        seconds: float = 120.0,
        max_reply_chars: int = 2_000_000,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._max_reply_chars = max_reply_chars
        self._close_seconds = close_seconds

    @property
    def name(self) -> str:
        """Return the inner engine's name."""
        return self._inner.name

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Pass the inner events on, and always end with a result.

        They are read in a task of its own, which can be left if it does not end.
        """
        reply = _Reply(self.name, self._max_reply_chars)
        queue: asyncio.Queue[Next] = asyncio.Queue()
        reader = asyncio.create_task(_read(self._inner, asked, queue))
        timer = asyncio.get_running_loop().call_later(self._seconds, queue.put_nowait, "timeout")
        try:
            while not reply.has_ended:
                for event in reply.take(await queue.get()):
                    yield event
        finally:
            timer.cancel()
            await _stop(reader, self._close_seconds)


async def _read(engine: Engine, asked: EngineRequest, queue: asyncio.Queue[Next]) -> None:
    """Move events to the queue, giving the consumer a turn after each; a failure is behind them."""
    try:
        async with closing(engine.run(asked)) as events:
            async for event in events:
                queue.put_nowait(event)
                await asyncio.sleep(0)
    except Exception as exc:  # noqa: BLE001 - whatever an engine raises is a failed reply
        _log_raised(engine.name, exc)
    finally:
        queue.put_nowait("provider_error")


async def _stop(reader: asyncio.Task[None], seconds: float) -> None:
    _stopping.add(reader)
    reader.add_done_callback(_stopping.discard)
    if not reader.done():
        reader.cancel()
        await asyncio.wait({reader}, timeout=seconds)


def _log_raised(engine: str, exc: Exception) -> None:
    """Log the class alone: a provider's message may hold a key, a URL or the user's text."""
    _log.warning("engine_raised", engine=engine, error=type(exc).__name__)


class _Reply:
    """What went by of a reply: to limit it, and to complete or correct its result."""

    def __init__(self, engine: str, max_chars: int) -> None:
        self.has_ended = False
        self._engine = engine
        self._max_chars = max_chars
        self._room = max_chars
        self._bytes_left = MAX_TEXT_BYTES
        self._text: list[str] = []
        self._sizes: dict[tuple[str, str] | None, int] = {}
        self._has_analysis = self._has_parts = False

    def take(self, event: Next) -> list[EngineEvent]:
        """Return what is passed on of what came."""
        try:
            return self._taken(event)
        except Exception as exc:  # noqa: BLE001 - of an engine that gives what is no event
            _log_raised(self._engine, exc)
            return self._failed("provider_error")

    def _taken(self, event: Next) -> list[EngineEvent]:
        match event:
            case str():
                return self._failed(event)
            case Finished():
                return self._ended(self._fitted(event.result))
            case TextDelta():
                return self._write(event.text)
            case ReasoningDelta():
                size = text_size(event.text) + PART_BYTES
                return self._add(event, size) if event.text else []
            case PartReady():
                return self._add_part(event) if _is_sound(event.part) else []
            case AnalysisReady():
                is_second, self._has_analysis = self._has_analysis, True
                return [] if is_second else [event]
        raise TypeError("what an engine gave is no event")

    def _write(self, text: str) -> list[EngineEvent]:
        kept = cut_to_size(text[: self._room], self._bytes_left)
        self._text.append(kept)
        self._room -= len(kept)
        self._bytes_left -= text_size(kept)
        written: list[EngineEvent] = [TextDelta(kept)] if kept else []
        return written if len(kept) == len(text) else [*written, *self._cut()]

    def _add_part(self, event: PartReady) -> list[EngineEvent]:
        """Add a part; a later state of one takes its place."""
        identity = identity_of(event.part)
        known = self._sizes.get(identity, 0) if identity else 0
        self._sizes[identity] = stored_size(event.part) + PART_BYTES
        added = self._add(event, self._sizes[identity] - known)
        is_said = event.part["type"] not in {"reasoning", "step-start"}
        self._has_parts |= is_said and not self.has_ended
        return added

    def _add(self, event: EngineEvent, size: int) -> list[EngineEvent]:
        self._bytes_left -= size
        return [event] if self._bytes_left >= 0 else self._cut()

    def _cut(self) -> list[EngineEvent]:
        message = "".join(self._text)
        return self._ended(
            EngineResult(
                success=True,
                message=message,
                files=parse_files(message),
                engine=self._engine,
                finish_reason="length",
            )
        )

    def _fitted(self, result: EngineResult) -> EngineResult:
        files = _within(result.files, self._max_chars)
        message = cut_to_size(result.message[: self._max_chars], MAX_TEXT_BYTES)
        if len(message) == len(result.message) and len(files) == len(result.files):
            return result
        cut = {"message": message, "files": files, "finish_reason": "length"}
        return result.model_copy(update=cut)

    def _ended(self, result: EngineResult) -> list[EngineEvent]:
        """Return the text that the result has and the stream lacks, and the result."""
        self.has_ended = True
        streamed = "".join(self._text)
        has_more = result.success and result.message.startswith(streamed)
        text = result.message if has_more else streamed
        missing: list[EngineEvent] = [TextDelta(text[len(streamed) :])] if text != streamed else []
        return [*missing, Finished(self._settled(result, text))]

    def _settled(self, result: EngineResult, text: str) -> EngineResult:
        """Return the result with the streamed text as its message, good or failed for a reason."""
        if result.success and (text.strip() or self._has_parts):
            return result.model_copy(update={"message": text, "error": None})
        error = result.error or engine_error("empty_reply" if result.success else "provider_error")
        return failed_result(
            error,
            engine=result.engine,
            partial=text,
            usage=result.usage,
            reasoning=result.reasoning,
            metadata=result.metadata,
        )

    def _failed(self, error: ErrorType) -> list[EngineEvent]:
        self.has_ended = True
        partial = "".join(self._text)
        return [Finished(failed_result(engine_error(error), engine=self._engine, partial=partial))]


def _is_sound(part: Part) -> bool:
    problem = problem_of(part)
    if problem is not None:
        _log.warning("part_refused", problem=problem)
    return problem is None


def _within(files: list[GeneratedFile], limit: int) -> list[GeneratedFile]:
    """Return the leading files whose contents fit the limit together."""
    total = 0
    for count, file in enumerate(files):
        total += len(file.content)
        if total > limit:
            return files[:count]
    return files
