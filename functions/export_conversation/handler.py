"""Gives a conversation out as a file: JSON that can be imported again, Markdown, or PDF."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from shared.exports import export_conversation as export
from shared.http.download import file_response
from shared.http.routing import BEARER, CheckedRoute, CurrentCaller, CurrentContainer
from shared.models.transfers import ExportConversationRequest

router = APIRouter(
    route_class=CheckedRoute, dependencies=[Depends(BEARER)], tags=["export-conversation"]
)

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, streamed; a transfer that is broken off is not the whole of it.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/markdown": {"schema": {"type": "string"}},
            "application/pdf": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/export-conversation", response_class=Response, responses=FILE)
async def export_conversation_by_query(
    query: Annotated[ExportConversationRequest, Query()],
    caller: CurrentCaller,
    container: CurrentContainer,
) -> Response:
    """Stream a conversation as it is now; messages that come meanwhile are left out."""
    download = await export(
        container.persistence,
        query.conversation_id,
        query.format,
        caller=caller,
        settings=container.settings,
    )
    return file_response(download)


@router.post("/export-conversation", response_class=Response, responses=FILE)
async def export_conversation(
    body: ExportConversationRequest, caller: CurrentCaller, container: CurrentContainer
) -> Response:
    """Stream a conversation as it is now; messages that come meanwhile are left out."""
    return await export_conversation_by_query(body, caller, container)
