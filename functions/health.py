"""Says whether the process lives, and with `deep=1` whether its store answers and is whole."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from shared.http.dependencies import container_of

router = APIRouter(tags=["health"])


class HealthResponse(BaseModel):
    """`store` is only there if it was asked for; a store that is down answers 503 instead.

    `invariants` is how much is broken, by the doctor's check: a metric, which never makes health
    fail, and is left out where it could not be had. It is a bounded look at turns that lost their
    worker and at the last hour's conversations, a hundred of each at most; the doctor itself
    looks at everything. Looked at once a minute, however often this is asked.
    """

    status: Literal["ok"] = "ok"
    store: Literal["ok"] | None = None
    stores: dict[str, Literal["ok", "away"]] | None = None
    invariants: dict[str, int] | None = None


@router.head("/health", include_in_schema=False)
@router.get("/health", response_model_exclude_none=True)
async def health(
    request: Request,
    deep: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
) -> HealthResponse:
    """Answer at once, or with `deep=1` after the store has: it is asked once a second at most."""
    if not deep:
        return HealthResponse()
    container = container_of(request)
    found = await container.health.read()
    names = container.stores if len(container.stores) > 1 else ()
    return HealthResponse(
        store="ok",
        stores={name: "away" if name in found.away else "ok" for name in names} or None,
        invariants=found.broken,
    )
