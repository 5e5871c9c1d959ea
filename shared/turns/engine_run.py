"""One run of an engine: what it has said so far, and the reply that comes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from ..ai.protocol import (
    AnalysisReady,
    EngineRequest,
    Finished,
    PartReady,
    ReasoningDelta,
    TextDelta,
)
from ..ai.results import engine_error, failed_result
from ..ai.streams import closing
from ..ai.tokens import estimate_tokens, parts_tokens
from .draft import Draft
from .reply import compose_reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ..ai.protocol import Analysis, Engine, EngineResult
    from ..models.turns import MegaMindRequest, TurnRecord
    from .context import Context
    from .reply import Reply


ReplyEvent: TypeAlias = TextDelta | ReasoningDelta | PartReady


class EngineRun:
    """Asks an engine once: a request in its context, of this user and turn where there is one."""

    def __init__(
        self,
        engine: Engine,
        request: MegaMindRequest,
        context: Context,
        *,
        user_id: UUID | None = None,
        record: TurnRecord | None = None,
    ) -> None:
        self._engine = engine
        self._context = context
        self._asked = EngineRequest(
            request.request,
            context.history,
            user_id=user_id,
            conversation_id=record.conversation.id if record else request.conversation_id,
            project_id=record.conversation.project_id if record else request.project_id,
            turn_id=record.turn.id if record else None,
            metadata=request.metadata,
            parts=request.message_parts,
        )
        self._analysis: Analysis | None = None
        self._written = Draft()  # as the engine wrote it: a reply is escaped as a whole
        self._started = time.monotonic()
        asked_tokens = estimate_tokens(request.request) + parts_tokens("user", request.parts)
        self.given_tokens = asked_tokens + context.tokens

    async def result(self, on_event: Callable[[ReplyEvent], None] = lambda _: None) -> EngineResult:
        """Read the engine's events to the last one; return its result."""
        async with closing(self._engine.run(self._asked)) as events:
            async for event in events:
                match event:
                    case AnalysisReady():
                        self._analysis = event.analysis
                    case TextDelta():
                        self._written.write(event.text)
                        on_event(event)
                    case ReasoningDelta():
                        self._written.reason(event.text)
                        on_event(event)
                    case PartReady():
                        self._written.add(event.part)
                        on_event(event)
                    case Finished():
                        return event.result
        raise RuntimeError("an engine ended without a result")

    def stopped(self) -> EngineResult:
        """Return what there is of a run that its owner has stopped."""
        partial = self._written.text
        return failed_result(engine_error("cancelled"), engine=self._engine.name, partial=partial)

    def reply(self, result: EngineResult, *, persisted_after: float | None = None) -> Reply:
        """Return the reply that is stored for a result of this run."""
        return compose_reply(
            result,
            parts=self._written.parts(),
            analysis=self._analysis,
            duration=time.monotonic() - self._started,
            own_metadata=dict(self._asked.metadata),
            persisted_after=persisted_after,
            context=self._context.as_metadata(),
            tokens=self._tokens(result),
        )

    def _tokens(self, result: EngineResult) -> int:
        """Return what the run took: as reported, and where it isn't, as estimated."""
        usage = result.usage
        reported = usage.tokens if usage is not None else 0
        if reported and usage is not None and not usage.is_partial:
            return reported
        written = self._written.text + (result.reasoning or "")
        return reported + self.given_tokens + estimate_tokens(written)
