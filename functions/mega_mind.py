"""One request to the AI, and its reply, both stored: as one response or as a stream."""

from typing import Annotated

from fastapi import Header, Query, Response

from shared.errors import (
    ConversationNotFoundError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    MessageNotEditableError,
    MessageNotFoundError,
    ReplyNotStoredError,
    TooManyBytesError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnInProgressError,
    TurnNotFoundError,
    UnauthorizedError,
)
from shared.http.dependencies import (
    ArrivedAt,
    CallerOrStranger,
    CurrentCaller,
    CurrentContainer,
    IdempotencyKey,
    UserInQuery,
)
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.http.sse import event_stream, wants_events
from shared.http.stream_schema import ROW, stream_of
from shared.models.base import PlainUuid
from shared.models.turns import MegaMindRequest, MegaMindResponse
from shared.turns.follow import Place, place_from
from shared.turns.request import TurnRequest

router = EndpointRouter("mega-mind")

# OpenAPI says it by the responses' media types, and ignores a parameter of this name.
Accept = Annotated[str | None, Header(include_in_schema=False)]
MAY_FAIL = error_responses(
    ConversationNotFoundError, MessageNotFoundError, TurnInProgressError,
    IdempotencyKeyReusedError, MessageNotEditableError,
    TooManyTurnsError, TooManyTokensError, TooManyBytesError, ReplyNotStoredError,
)  # fmt: skip
STREAM = stream_of(
    accepted=("turnId", "conversationId", "attempt", "offset", "userMessage"),
    status=("turnId", "status"),
    delta=("turnId", "offset", "text"),
    message=ROW,
    done=("success", "conversationId", "turnId", "replayed"),
)


@router.post("", response_model=MegaMindResponse, responses=MAY_FAIL | STREAM)
async def mega_mind(
    body: MegaMindRequest,
    caller: CallerOrStranger,
    container: CurrentContainer,
    arrived_at: ArrivedAt,
    idempotency_key: IdempotencyKey,
    accept: Accept = None,
) -> MegaMindResponse | Response:
    """Commit the user's message, let the AI work, commit its reply, and return both.

    As a stream: `accepted`, `status`, `delta {offset, text}`, `message`, `done` or `error`.
    The turn goes on to its end also if the client goes away.
    """
    user_id = caller.acting_for(body.user_id) if caller else None
    if not body.persist_messages:
        return await container.turns.unstored.run(body, user_id=user_id, caller=caller)
    if user_id is None or caller is None:
        raise UnauthorizedError
    request = TurnRequest(user_id, idempotency_key, body, caller, arrived_at)
    if wants_events(accept):
        return event_stream(await container.turns.stream(request))
    return await container.turns.run(request)


@router.get("", response_class=Response, responses=error_responses(TurnNotFoundError) | STREAM)
async def follow_turn(
    turn_id: Annotated[PlainUuid, Query(alias="turnId")],
    user_id: UserInQuery,
    caller: CurrentCaller,
    container: CurrentContainer,
    last_event_id: Annotated[str | None, Header()] = None,
    offset: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Follow a turn that was begun before, from where `Last-Event-ID` or `offset` left it.

    With the service key `userId` says whose turn it is.
    """
    if offset is not None and last_event_id is not None:
        raise InvalidRequestError("Give Last-Event-ID or offset, not both.")
    place = Place(offset) if offset is not None else place_from(last_event_id)
    return event_stream(await container.turns.follow(user_id, turn_id, caller=caller, place=place))
