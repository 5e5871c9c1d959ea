"""Turns pages of hits into answers with a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.search import SearchMessagesResponse, SearchPlace
from .cursor import decode_cursor, encode_cursor
from .indexing import index_for_search

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.search import SearchMessagesRequest
    from ..persistence import Persistence


async def find_messages(
    persistence: Persistence, user_id: UUID, request: SearchMessagesRequest, *, caller: Caller
) -> SearchMessagesResponse:
    """Return the page of hits that a request's cursor leads to.

    Where more is not indexed than a search reads beside the index, that is made up for first.
    """
    place = decode_cursor(SearchPlace, request.cursor) if request.cursor else None
    found = await persistence.search_messages(user_id, request, caller=caller, place=place)
    if found.incomplete and not place:
        await index_for_search(persistence, user_id)
        found = await persistence.search_messages(user_id, request, caller=caller, place=place)
    return SearchMessagesResponse(
        hits=found.hits,
        parts=found.parts,
        truncated=found.cut,
        incomplete=found.incomplete,
        next_cursor=encode_cursor(found.next) if found.next else None,
    )
