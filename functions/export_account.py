"""Gives everything out that a user has, as one zip."""

from typing import Any

from fastapi import Response

from shared.exports import account_zip
from shared.http.dependencies import CurrentCaller, CurrentContainer, ExportPlace
from shared.http.download import file_response
from shared.http.routing import EndpointRouter
from shared.models.transfers import ExportAccountRequest

router = EndpointRouter("export-account")

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The zip, streamed; without its manifest.json it is not the whole of it.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.api_route("", methods=["GET", "POST"], response_class=Response, responses=FILE)
async def export_account(
    request: ExportAccountRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    _: ExportPlace,
) -> Response:
    """Stream every conversation as JSON and as Markdown, and a manifest with checksums."""
    user_id = caller.acting_for(request.user_id)
    return file_response(await account_zip(container.persistence, user_id, caller=caller))
