"""Gives a conversation out as a file: JSON that can be imported again, Markdown, or PDF."""

from typing import Any

from fastapi import Response

from shared.errors import (
    ConversationNotFoundError,
    PdfBusyError,
    PdfNotInstalledError,
    PdfTooLargeError,
)
from shared.exports import export_conversation as export
from shared.http.dependencies import CurrentCaller, CurrentContainer, ExportPlace
from shared.http.download import file_response
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.transfers import ExportConversationRequest

router = EndpointRouter("export-conversation")

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


MAY_FAIL = error_responses(
    ConversationNotFoundError, PdfTooLargeError, PdfNotInstalledError, PdfBusyError
)


@router.api_route("", methods=["GET", "POST"], response_class=Response, responses=MAY_FAIL | FILE)
async def export_conversation(
    request: ExportConversationRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    _: ExportPlace,
) -> Response:
    """Stream a conversation as it is now; messages that come meanwhile are left out."""
    download = await export(
        container.persistence,
        caller.acting_for(request.user_id),
        request.conversation_id,
        request.format,
        caller=caller,
        settings=container.settings,
    )
    return file_response(download)
