"""Gives everything out that a user has, as one zip."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from shared.exports import account_archive
from shared.http.download import file_response
from shared.http.routing import BEARER, CheckedRoute, CurrentCaller, CurrentContainer
from shared.models.transfers import ExportAccountRequest

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["export-account"]
)

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The zip, streamed; without its manifest.json it is not the whole of it.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/export-account", response_class=Response, responses=FILE)
async def export_account_by_query(
    query: Annotated[ExportAccountRequest, Query()],
    caller: CurrentCaller,
    container: CurrentContainer,
) -> Response:
    """Stream every conversation as JSON and as Markdown, and a manifest with checksums."""
    user_id = caller.acting_for(query.user_id)
    return file_response(await account_archive(container.persistence, user_id, caller=caller))


@router.post("/export-account", response_class=Response, responses=FILE)
async def export_account(
    body: ExportAccountRequest, caller: CurrentCaller, container: CurrentContainer
) -> Response:
    """Stream every conversation as JSON and as Markdown, and a manifest with checksums."""
    user_id = caller.acting_for(body.user_id)
    return file_response(await account_archive(container.persistence, user_id, caller=caller))
