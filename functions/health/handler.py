"""Says whether the process lives, and with `deep=1` whether its store answers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.http.routing import ServicesOf

router = APIRouter(tags=["health"])


class HealthAnswer(BaseModel):
    """`store` is only there where it was asked for; a store that is down answers 503 instead."""

    status: Literal["ok"] = "ok"
    store: Literal["ok"] | None = None


@router.get("/health", response_model_exclude_none=True)
async def health(services: ServicesOf, deep: Annotated[bool, Query()] = False) -> HealthAnswer:  # noqa: FBT002 - a query parameter
    """Answer at once, or with `deep=1` after the store has."""
    if not deep:
        return HealthAnswer()
    await services.persistence.ping()
    return HealthAnswer(store="ok")
