"""Search: what search-messages takes and answers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    StrictBool,
    model_validator,
)

from .base import (
    Cursor,
    Envelope,
    Limit,
    Moment,
    PlainUuid,
    RequestBody,
)
from .rows import Role


class SearchMessagesRequest(RequestBody):
    """What to look for, and where: `from` is the first moment that counts, `to` the first after."""

    EXAMPLE: ClassVar = {"q": '"read a file" python -pandas'}

    q: Annotated[str, Field(min_length=1, max_length=1000)]
    conversation_id: PlainUuid | None = None
    project_id: PlainUuid | None = None
    role: Role | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None
    archived: StrictBool = False
    limit: Limit = 20
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("from should be before to")
        return self


class Mark(Envelope):
    """A stretch of a snippet, in characters (code points) from its start; `end` is not in it."""

    start: int
    end: int


class Snippet(Envelope):
    """Some of a message's plain text around a hit, and whether the message goes on around it."""

    text: str
    marks: list[Mark]
    has_before: bool
    has_after: bool


class Hit(Envelope):
    """A message that was found; load-conversation opens its place with `around`."""

    message_id: UUID
    conversation_id: UUID
    title: str
    project_id: UUID | None
    archived_at: str | None
    seq: int
    branch: int
    role: Role
    created_at: str
    rank: float
    snippet: Snippet


class SearchMessagesResponse(Envelope):
    """A page of hits, best first; `nextCursor` is null on the last one.

    `parts`: no message has the words, so these have them as parts of longer words.
    `truncated`: there are more matches than were ranked, and these are of the newest thousand.
    `incomplete`: so much was stored lately that not all of it could be searched yet.
    """

    hits: list[Hit]
    parts: bool
    truncated: bool
    incomplete: bool
    next_cursor: str | None


class SearchPlace(BaseModel):
    """Where the next page of hits begins, and what all pages of the search have in common."""

    rank: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    created_at: AwareDatetime
    message_id: UUID
    oldest: AwareDatetime
    newest: AwareDatetime
    parts: bool
    cut: bool


class FoundMessages(BaseModel):
    """What search_messages answers."""

    hits: list[Hit]
    parts: bool
    cut: bool
    incomplete: bool
    next: SearchPlace | None


class IndexStep(BaseModel):
    """What index_messages answers; `more` with nothing indexed: others are at the rest."""

    indexed: int
    more: bool
