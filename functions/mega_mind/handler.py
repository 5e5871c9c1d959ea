"""One request to the AI: stored, answered, stored."""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Header

from shared.errors import UnauthorizedError
from shared.http.routing import BEARER, CallerOrStranger, CheckedRoute, ServicesOf
from shared.models import MegaMindAnswer, MegaMindRequest
from shared.turn import Turn

router = APIRouter(route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["mega-mind"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Repeating a request under its key gives the stored answer.",
    ),
]


@router.post("/mega-mind")
async def mega_mind(
    body: MegaMindRequest,
    caller: CallerOrStranger,
    services: ServicesOf,
    idempotency_key: IdempotencyKey = None,
) -> MegaMindAnswer:
    """Commit the user's message, let the AI work, commit its reply, and return both."""
    user_id = caller.acting_for(body.user_id) if caller else None
    if not body.persist_messages:
        return await services.turns.run_unstored(body, caller=caller)
    if user_id is None:
        raise UnauthorizedError
    return await services.turns.run(Turn(user_id, idempotency_key or uuid4().hex, body))
