"""Wrappers that make any engine keep the protocol's promises: `guarded` and `with_reply_limit`.

`guarded` belongs outermost: nothing but a cancellation gets past it.
"""

from __future__ import annotations

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
    from collections.abc import AsyncIterator, Iterator

    from ..encoding.files import GeneratedFile
    from ..encoding.parts import Part
    from .protocol import Engine, EngineEvent, EngineRequest

PART_BYTES: Final = 200  # for what stands around a part, and around the text behind it

_log = structlog.get_logger(__name__)


def guarded(engine: Engine) -> Engine:
    """Return the engine with every exception turned into a failure and its stream kept in order.

    One analysis at most, text, and then exactly one result that agrees with the text. A
    blank reply becomes an `empty_reply` failure, a stream without a result a `provider_error`.
    """
    return _Guarded(engine)


def with_reply_limit(engine: Engine, max_reply_chars: int) -> Engine:
    """Return the engine with its reply cut at `max_reply_chars` and marked as cut.

    Also where a row holds no more of it.
    """
    return _ReplyLimited(engine, max_reply_chars)


class _Guarded:
    """Keeps the text that went by, to complete or correct the result."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """Return the inner engine's name."""
        return self._inner.name

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Pass the inner events on, and always end with a result."""
        text: list[str] = []
        has_analysis = has_parts = has_finished = False
        try:
            async with closing(self._inner.run(asked)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        has_finished = True
                        ending = self._ending(event.result, "".join(text), has_parts=has_parts)
                        for last in ending:
                            yield last
                        return
                    if isinstance(event, TextDelta):
                        text.append(event.text)
                    if _is_welcome(event, has_analysis=has_analysis):
                        has_analysis |= isinstance(event, AnalysisReady)
                        has_parts |= isinstance(event, PartReady) and _says(event.part)
                        yield event
        except Exception as exc:  # noqa: BLE001 - whatever an engine raises is a failed reply
            # Only the class: a provider's message may hold a key, a URL or the user's text.
            _log.warning("engine_raised", engine=self.name, error=type(exc).__name__)
        if not has_finished:
            error = engine_error("provider_error")
            yield Finished(failed_result(error, engine=self.name, partial="".join(text)))

    def _ending(
        self, result: EngineResult, streamed: str, *, has_parts: bool
    ) -> Iterator[EngineEvent]:
        """Yield the text that the result has and the stream lacks, and the result."""
        missing = _missing_tail(result, streamed)
        if missing:
            yield TextDelta(missing)
        yield Finished(_settled(result, streamed + missing, has_parts=has_parts))


class _ReplyLimited:
    """Counts the characters that went by."""

    def __init__(self, inner: Engine, max_reply_chars: int) -> None:
        self._inner = inner
        self._max = max_reply_chars

    @property
    def name(self) -> str:
        """Return the inner engine's name."""
        return self._inner.name

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Pass the inner events on, up to the limit."""
        text: list[str] = []
        room, bytes_left = self._max, MAX_TEXT_BYTES
        sizes: dict[tuple[str, str] | None, int] = {}
        async with closing(self._inner.run(asked)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    yield Finished(self._fitted(event.result))
                    return
                if isinstance(event, TextDelta):
                    kept = cut_to_size(event.text[:room], bytes_left)
                    text.append(kept)
                    room -= len(kept)
                    bytes_left -= text_size(kept)
                    if len(kept) < len(event.text):
                        yield TextDelta(kept)
                        yield Finished(self._cut("".join(text)))
                        return
                elif isinstance(event, PartReady | ReasoningDelta):
                    bytes_left -= _size_beyond(event, sizes)
                    if bytes_left < 0:
                        yield Finished(self._cut("".join(text)))
                        return
                yield event

    def _cut(self, message: str) -> EngineResult:
        return EngineResult(
            success=True,
            message=message,
            files=parse_files(message),
            engine=self.name,
            finish_reason="length",
        )

    def _fitted(self, result: EngineResult) -> EngineResult:
        files = _within(result.files, self._max)
        message = cut_to_size(result.message[: self._max], MAX_TEXT_BYTES)
        too_long = len(message) < len(result.message) or len(files) < len(result.files)
        return result.model_copy(
            update={
                "message": message,
                "files": files,
                "finish_reason": "length" if too_long else result.finish_reason,
            }
        )


def _size_beyond(
    event: PartReady | ReasoningDelta, sizes: dict[tuple[str, str] | None, int]
) -> int:
    """Return how much more a reply takes with this, in bytes: a later state replaces the former."""
    if isinstance(event, ReasoningDelta):
        return text_size(event.text) + PART_BYTES
    identity = identity_of(event.part)
    known = sizes.get(identity, 0) if identity else 0
    sizes[identity] = stored_size(event.part) + PART_BYTES
    return sizes[identity] - known


def _is_welcome(event: EngineEvent, *, has_analysis: bool) -> bool:
    """Say no to empty text, to a second analysis, and to a part that no row can hold."""
    match event:
        case TextDelta() | ReasoningDelta():
            return bool(event.text)
        case PartReady():
            return _is_sound(event.part)
    return not has_analysis


def _is_sound(part: Part) -> bool:
    problem = problem_of(part)
    if problem is not None:
        _log.warning("part_refused", problem=problem)
    return problem is None


def _says(part: Part) -> bool:
    """Whether a part is a reply, without any words."""
    return part["type"] not in {"reasoning", "step-start"}


def _settled(result: EngineResult, text: str, *, has_parts: bool) -> EngineResult:
    """Return the result with the streamed text as its message, good or failed for a reason."""
    if result.success and (text.strip() or has_parts):
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


def _missing_tail(result: EngineResult, streamed: str) -> str:
    """Return the end of a good reply that was not streamed."""
    if result.success and result.message.startswith(streamed):
        return result.message[len(streamed) :]
    return ""


def _within(files: list[GeneratedFile], limit: int) -> list[GeneratedFile]:
    """Return the leading files whose contents fit the limit together."""
    total = 0
    for count, file in enumerate(files):
        total += len(file.content)
        if total > limit:
            return files[:count]
    return files
