"""Turns that a program outside writes, in any language: begun, written and ended step by step."""

from typing import Annotated

from fastapi import Path

from shared.ai.protocol import Analysis, Complexity, EngineError, EngineResult, Intent, Usage
from shared.auth.caller import Caller
from shared.encoding.files import GeneratedFile
from shared.encoding.parts import text_of
from shared.errors import (
    ConversationNotFoundError,
    IdempotencyKeyReusedError,
    PayloadTooLargeError,
    TooManyBytesError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnInProgressError,
    TurnNotFoundError,
    TurnSupersededError,
    UserNotFoundError,
)
from shared.http.dependencies import ArrivedAt, CurrentContainer, IdempotencyKey, ServiceCaller
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.base import PlainUuid
from shared.models.outside import (
    BeginTurnRequest,
    BegunTurnResponse,
    CompleteTurnRequest,
    EndedTurnResponse,
    FailTurnRequest,
    HistoryRow,
    WriteTurnRequest,
    WrittenTurnResponse,
)
from shared.models.turns import TurnRecord
from shared.turns.context import given_context
from shared.turns.outside import Attempt
from shared.turns.request import TurnRequest

router = EndpointRouter("turns")

TurnId = Annotated[PlainUuid, Path()]
MAY_FAIL = error_responses(
    ConversationNotFoundError, UserNotFoundError, TurnInProgressError, IdempotencyKeyReusedError,
    TooManyTurnsError, TooManyTokensError, TooManyBytesError,
)  # fmt: skip
MAY_BE_LATE = error_responses(TurnNotFoundError, TurnSupersededError, PayloadTooLargeError)


@router.post("", responses=MAY_FAIL)
async def begin_turn(
    body: BeginTurnRequest,
    caller: ServiceCaller,
    container: CurrentContainer,
    arrived_at: ArrivedAt,
    idempotency_key: IdempotencyKey,
) -> BegunTurnResponse:
    """Commit a user's message and open its turn, for the caller to write.

    For the service key alone. Under a key that is known: the stored reply, with `replayed`; 409
    while the turn runs; its next attempt, once the lease is over.
    """
    user_id = caller.acting_for(body.user_id)
    request = TurnRequest(user_id, idempotency_key, body.as_asked(), caller, arrived_at)
    record = await container.turns.outside.begin(request, lease_seconds=body.lease_seconds)
    history = given_context(record.history, record.context).history
    return BegunTurnResponse(
        replayed=record.reply is not None,
        turn_id=record.turn.id,
        conversation_id=record.conversation.id,
        attempt=record.turn.attempt,
        lease_expires_at=record.turn.lease_expires_at,
        user_message=record.user_message,
        message=record.reply,
        history=[HistoryRow.model_validate(row.model_dump()) for row in history],
    )


@router.post("/{turn_id}/write", responses=MAY_BE_LATE)
async def write_turn(
    turn_id: TurnId, body: WriteTurnRequest, caller: ServiceCaller, container: CurrentContainer
) -> WrittenTurnResponse:
    """Write the next piece of the reply and renew the lease: its heartbeat.

    May be repeated: offset and version say where it belongs. Followers and the page see it as it
    is written; what no reply is committed with survives a crash of the writer as a draft.
    """
    writer = _writer_of(turn_id, body, caller)
    turn = await container.turns.outside.write(
        writer,
        offset=body.offset,
        text=body.text,
        parts=body.parts,
        version=body.version,
        lease_seconds=body.lease_seconds,
    )
    return WrittenTurnResponse(
        turn_id=turn_id,
        attempt=body.attempt,
        offset=turn.draft_length or 0,
        version=turn.parts_version or 0,
        cancel_requested=turn.cancel_requested,
    )


@router.post("/{turn_id}/complete", responses=MAY_BE_LATE)
async def complete_turn(
    turn_id: TurnId, body: CompleteTurnRequest, caller: ServiceCaller, container: CurrentContainer
) -> EndedTurnResponse:
    """Commit the reply and close the turn, if this attempt still has it.

    May be repeated: the reply that was stored first counts. It is what was written, with the
    `parts` behind it; another text, or parts with text among them, take the place of its text, or
    of it all. With nothing at all the turn has failed.
    """
    files = [GeneratedFile.model_validate(file.model_dump()) for file in body.files]
    result = _result_of(body).model_copy(update={"files": files})
    writer = _writer_of(turn_id, body, caller)
    analysis = _analysis_of(body)
    done = await container.turns.outside.complete(
        writer, result, analysis=analysis, parts=body.parts
    )
    return _ended(done)


@router.post("/{turn_id}/fail", responses=MAY_BE_LATE)
async def fail_turn(
    turn_id: TurnId, body: FailTurnRequest, caller: ServiceCaller, container: CurrentContainer
) -> EndedTurnResponse:
    """Commit a failure as the reply, with the text so far, and close the turn.

    May be repeated, as completing it.
    """
    error = EngineError(type=body.error.type, message=body.error.message)
    result = _result_of(body).model_copy(update={"success": False, "error": error})
    writer = _writer_of(turn_id, body, caller)
    return _ended(await container.turns.outside.complete(writer, result, parts=body.parts))


def _writer_of(
    turn_id: PlainUuid,
    body: WriteTurnRequest | CompleteTurnRequest | FailTurnRequest,
    caller: Caller,
) -> Attempt:
    return Attempt(caller.acting_for(body.user_id), turn_id, body.attempt)


def _result_of(body: CompleteTurnRequest | FailTurnRequest) -> EngineResult:
    return EngineResult(
        success=True,
        message=body.content or text_of(body.parts),
        usage=Usage.model_validate(body.usage.model_dump()) if body.usage else None,
        engine=body.engine,
        metadata=body.metadata,
    )


def _analysis_of(body: CompleteTurnRequest) -> Analysis | None:
    if body.intent is None or body.complexity is None or body.strategy is None:
        return None
    return Analysis(
        intent=Intent(body.intent),
        complexity=Complexity(body.complexity),
        strategy=body.strategy,
    )


def _ended(record: TurnRecord) -> EndedTurnResponse:
    if record.reply is None:
        raise TurnSupersededError
    return EndedTurnResponse(
        turn_id=record.turn.id,
        conversation_id=record.conversation.id,
        status=record.turn.status,
        user_message=record.user_message,
        message=record.reply,
    )
