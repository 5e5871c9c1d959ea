"""One turn from accept to reply: the user's message is committed, the AI works, the reply is.

The heart. It knows the order of things; how they are stored, said or thought up is elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from shared.broadcast import Broadcaster, LiveTurn
from shared.engine.protocol import (
    Analysis,
    AnalysisReady,
    Engine,
    EngineResult,
    Finished,
    HistoryMessage,
    TextDelta,
)
from shared.engine.streams import closing
from shared.errors import TurnInProgressError, UnauthorizedError
from shared.models import (
    MAX_LIMIT,
    AnalysisAnswer,
    ComplexityLevel,
    ExecutionStrategy,
    LoadConversationRequest,
    MegaMindAnswer,
    MegaMindRequest,
    TurnRecord,
    UnstoredMessage,
    UserIntent,
)
from shared.reply import Reply, compose_reply, user_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.auth import Caller
    from shared.persistence import Persistence

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """A request of a verified user, under the key that makes repeating it harmless."""

    user_id: UUID
    idempotency_key: str
    request: MegaMindRequest

    def request_hash(self) -> str:
        """Return the fingerprint by which two requests under one key are told apart."""
        # Without defaults, so that a field added later leaves older fingerprints as they are.
        told = self.request.model_dump(mode="json", exclude={"user_id"}, exclude_defaults=True)
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class TurnRunner:
    """Runs turns: two round trips to the store each, one before the AI and one after."""

    def __init__(
        self,
        persistence: Persistence,
        engine: Engine,
        broadcaster: Broadcaster,
        *,
        lease_seconds: int,
        history_limit: int,
    ) -> None:
        self._persistence = persistence
        self._engine = engine
        self._broadcaster = broadcaster
        self._lease_seconds = lease_seconds
        self._history_limit = history_limit

    async def run(self, turn: Turn) -> MegaMindAnswer:
        """Run a turn, or give back what its key led to before.

        Raises TurnInProgressError while another worker runs it or another turn of the
        conversation, IdempotencyKeyReusedError, ConversationNotFoundError, StoreUnavailableError.
        """
        begun = await self._begin(turn)
        if begun.outcome == "in_progress":
            raise _in_progress(begun)
        if begun.outcome == "replayed":
            log.info("turn_replayed", turn_id=str(begun.turn.id))
            return _answer(begun, replayed=True)
        live = LiveTurn(
            self._broadcaster, conversation_id=begun.conversation.id, turn_id=begun.turn.id
        )
        history = [HistoryMessage.model_validate(row) for row in begun.history]
        reply = await self._generate(turn.request, history, live)
        live.announce("saving")
        await live.flush()
        return await self._complete(begun, reply)

    async def run_unstored(
        self, request: MegaMindRequest, *, caller: Caller | None
    ) -> MegaMindAnswer:
        """Run the AI and store nothing; a conversation that is named is still read first."""
        history = await self._stored_history(request.conversation_id, caller)
        reply = await self._generate(request, history, live=None)
        message = UnstoredMessage(
            content=reply.content, generated_code=reply.generated_code, metadata=reply.metadata
        )
        return MegaMindAnswer(
            conversation_id=request.conversation_id,
            turn_id=None,
            replayed=False,
            user_message=None,
            message=message,
            **_told_by(reply.metadata),
        )

    async def _stored_history(
        self, conversation_id: UUID | None, caller: Caller | None
    ) -> list[HistoryMessage]:
        if conversation_id is None or not self._history_limit:
            return []
        if caller is None:
            raise UnauthorizedError
        newest = LoadConversationRequest(
            conversation_id=conversation_id, limit=min(self._history_limit, MAX_LIMIT)
        )
        page = await self._persistence.load_conversation(newest, caller=caller)
        return [HistoryMessage(**dict(row)) for row in page.messages]

    async def _begin(self, turn: Turn) -> TurnRecord:
        message_id = uuid4()
        saving = log.bind(message_id=str(message_id), role="user")
        saving.info("message_saving")
        begun = await self._persistence.begin_turn(
            user_id=turn.user_id,
            idempotency_key=turn.idempotency_key,
            request_hash=turn.request_hash(),
            request=turn.request.request,
            message_id=message_id,
            conversation_id=turn.request.conversation_id,
            project_id=turn.request.project_id,
            metadata=user_metadata(turn.request.project_id, turn.request.metadata),
            lease_seconds=self._lease_seconds,
            history_limit=self._history_limit,
        )
        if begun.outcome == "started":
            saving.info("message_saved", **_places(begun), seq=begun.user_message.seq)
        return begun

    async def _generate(
        self,
        request: MegaMindRequest,
        history: Sequence[HistoryMessage],
        live: LiveTurn | None,
    ) -> Reply:
        """Let the engine work, telling the topic how it goes, and shape what it ended with."""
        started = time.monotonic()
        if live:
            live.announce("thinking")
        analysis, result = await _follow(self._engine, request.request, history, live)
        return compose_reply(
            result,
            analysis=analysis,
            duration=time.monotonic() - started,
            own_metadata=request.metadata,
        )

    async def _complete(self, begun: TurnRecord, reply: Reply) -> MegaMindAnswer:
        message_id = uuid4()
        saving = log.bind(message_id=str(message_id), role="assistant", **_places(begun))
        saving.info("message_saving")
        done = await self._persistence.complete_turn(
            turn_id=begun.turn.id,
            attempt=begun.turn.attempt,
            message_id=message_id,
            status=reply.status,
            content=reply.content,
            generated_code=reply.generated_code,
            metadata=reply.metadata,
            error=reply.error,
        )
        if done.outcome == "completed":
            saving.info("message_saved", status=reply.status)
            return _answer(done, replayed=False)
        saving.warning("turn_superseded", attempt=begun.turn.attempt)
        if done.reply is None:
            raise _in_progress(done)
        return _answer(done, replayed=True)


async def _follow(
    engine: Engine, request: str, history: Sequence[HistoryMessage], live: LiveTurn | None
) -> tuple[Analysis | None, EngineResult]:
    """Read an engine's events to the end; return its analysis and its result."""
    analysis: Analysis | None = None
    is_writing = False
    async with closing(engine.run(request=request, history=history)) as events:
        async for event in events:
            match event:
                case AnalysisReady():
                    analysis = event.analysis
                case TextDelta() if not is_writing:
                    is_writing = True
                    if live:
                        live.announce("generating")
                case Finished():
                    return analysis, event.result
    raise RuntimeError("an engine ended without a result")


def _in_progress(record: TurnRecord) -> TurnInProgressError:
    expires = datetime.fromisoformat(record.turn.lease_expires_at)
    remaining = ceil((expires - datetime.now(UTC)).total_seconds())
    return TurnInProgressError(
        details={"turnId": str(record.turn.id), "conversationId": str(record.conversation.id)},
        hint="Wait and ask again with the same Idempotency-Key.",
        retry_after=min(max(remaining, 1), 2),
    )


def _answer(record: TurnRecord, *, replayed: bool) -> MegaMindAnswer:
    """Build the answer from stored rows alone, so that a replay says what the first one said."""
    if record.reply is None:
        raise _in_progress(record)
    return MegaMindAnswer(
        conversation_id=record.conversation.id,
        turn_id=record.turn.id,
        replayed=replayed,
        user_message=record.user_message,
        message=record.reply,
        **_told_by(record.reply.metadata),
    )


def _told_by(metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "success": metadata.get("success", False),
        "analysis": AnalysisAnswer(
            user_intent=UserIntent(primary_goal=metadata.get("intent")),
            complexity=ComplexityLevel(level=metadata.get("complexity")),
            execution_strategy=ExecutionStrategy(primary_approach=metadata.get("strategy")),
        ),
        "files_generated": metadata.get("filesGenerated", []),
        "duration": metadata.get("duration", 0.0),
    }


def _places(record: TurnRecord) -> dict[str, str]:
    return {"conversation_id": str(record.conversation.id), "turn_id": str(record.turn.id)}
