"""Stops a running turn; what it has written so far is kept as the reply."""

from shared.errors import TurnNotFoundError
from shared.http.dependencies import CurrentCaller, CurrentContainer
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.turns import CancelTurnRequest, CancelTurnResponse

router = EndpointRouter("cancel-turn")


@router.post("", responses=error_responses(TurnNotFoundError))
async def cancel_turn(
    body: CancelTurnRequest, caller: CurrentCaller, container: CurrentContainer
) -> CancelTurnResponse:
    """Stop a turn for good. One that has ended stays as it is; repeating this changes nothing.

    With the service key `userId` says whose turn it is.
    """
    record = await container.turns.cancel(caller.acting_for(body.user_id), body.turn_id)
    return CancelTurnResponse(
        turn_id=record.turn.id, status=record.turn.status, message=record.reply
    )
