"""SQL functions about search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.retention import ListedUsers
from ..models.search import (
    FoundMessages,
    IndexStep,
    SearchMessagesRequest,
    SearchPlace,
)
from .calls import Calls, once, repeated
from .replica import anything

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller


class SearchCalls(Calls):
    """Finding messages again."""

    async def search_messages(
        self,
        user_id: UUID,
        request: SearchMessagesRequest,
        *,
        caller: Caller,
        place: SearchPlace | None,
    ) -> FoundMessages:
        """Read a page of a user's messages that match: the first, or the one at a place."""
        return await self._call_with_retries(
            FoundMessages,
            "search_messages",
            caller,
            is_enough=anything,
            user_id=user_id,
            page_size=request.limit,
            page_after=place and place.model_dump(mode="json"),
            **request.model_dump(exclude={"limit", "cursor"}),
        )

    @once(IndexStep)
    async def index_messages(self, user_id: UUID) -> IndexStep:
        """Take a step of a user's search index."""

    @repeated(ListedUsers)
    async def list_users_to_index(self) -> ListedUsers:
        """Read who has messages that are not in the search index yet."""
