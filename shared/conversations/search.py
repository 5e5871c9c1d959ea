"""Turns pages of hits into answers with a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.conversations.cursor import decode_cursor, encode_cursor
from shared.models.search import SearchMessagesResponse, SearchPlace

if TYPE_CHECKING:
    from uuid import UUID

    from shared.auth.caller import Caller
    from shared.models.search import SearchMessagesRequest
    from shared.persistence import Persistence


async def find_messages(
    persistence: Persistence, user_id: UUID, request: SearchMessagesRequest, *, caller: Caller
) -> SearchMessagesResponse:
    """Return the page of hits that a request's cursor leads to."""
    place = decode_cursor(SearchPlace, request.cursor) if request.cursor else None
    found = await persistence.search_messages(user_id, request, caller=caller, place=place)
    return SearchMessagesResponse(
        hits=found.hits,
        parts=found.parts,
        truncated=found.cut,
        next_cursor=encode_cursor(found.next) if found.next else None,
    )
