"""Gives everything out that a user has, as one zip."""

from typing import Any

from fastapi import Response

from shared.exports import account_zip, part_bytes
from shared.http.dependencies import CurrentCaller, CurrentContainer, ExportPlace
from shared.http.download import file_response
from shared.http.routing import EndpointRouter
from shared.models.transfers import ExportAccountRequest

router = EndpointRouter("export-account")

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The zip, streamed; without its manifest.json it is not the whole of it."
        ' Where more comes after it, the header Link names that: <?after=...>; rel="next".',
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
    """Stream conversations as JSON and as Markdown, and a manifest with checksums.

    A large account comes in several zips, each of which can be imported.
    """
    download = await account_zip(
        container.persistence,
        caller.acting_for(request.user_id),
        caller=caller,
        after=request.after,
        most_bytes=part_bytes(container.settings.max_import_bytes),
    )
    return file_response(download)
