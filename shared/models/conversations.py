"""Conversations: what load-conversation and conversations take and answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    StrictBool,
    model_validator,
)

from ..encoding.parts import Part
from .base import (
    Cursor,
    Envelope,
    Limit,
    Metadata,
    PlainUuid,
    RequestBody,
    Seq,
    Title,
)
from .rows import ConversationRow, MessageRow, TurnStatus

Branch = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]


class LoadConversationRequest(RequestBody):
    """Which page of which conversation: the newest, or before/after a seq, or around a message.

    Of the active path, or of that through a branch or the message; with the view `all`, of
    everything in the order of writing.
    """

    EXAMPLE: ClassVar = {"conversationId": "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11", "limit": 20}

    conversation_id: PlainUuid
    limit: Limit = 50
    before: Seq | None = None
    after: Seq | None = None
    around: PlainUuid | None = None
    view: Literal["active", "all"] = "active"
    branch: Branch | None = None
    seen: Seq | None = None
    user_id: PlainUuid | None = None

    @property
    def known_seq(self) -> int | None:
        """The last place that whoever asks knows to be there, if they say one."""
        known = (self.seen, self.after, None if self.before is None else self.before - 1)
        return max((seq for seq in known if seq is not None), default=None)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.before, self.after, self.around)) > 1:
            raise ValueError("only one of before, after and around can be given")
        if self.branch is not None and self.view == "all":
            raise ValueError("the view of all is of no branch")
        return self


class Page(Envelope):
    """Where a page lies in its conversation. Seqs are null on an empty page."""

    has_older: bool
    has_newer: bool
    oldest_seq: int | None
    newest_seq: int | None


class OpenTurn(Envelope):
    """The turn that is still running. `offset` counts the draft's characters (code points).

    Where it `isExpired`, its worker is gone: it is about to be settled.
    """

    turn_id: UUID
    status: TurnStatus
    attempt: int
    user_message_id: UUID
    draft: str
    draft_parts: list[Part] = Field(default_factory=list)
    offset: int
    started_at: str
    lease_expires_at: str
    is_expired: bool


class Sibling(Envelope):
    """A message that follows the same one; `branch` ends the path through it written to last."""

    id: UUID
    branch: int


class Siblings(Envelope):
    """The messages that follow the same one: how many, the nearest of them, and which of them,
    from 1 on, the page's is.
    """

    position: int
    count: int
    messages: list[Sibling]


class LoadConversationResponse(Envelope):
    """A page of a conversation, oldest message first.

    `branch` is the one that its path ends with, null in the view of all. `siblings` are by
    message id, and only of messages that have some.
    """

    conversation: ConversationRow
    messages: list[MessageRow]
    page: Page
    last_seq: int
    branch: int | None
    siblings: dict[UUID, Siblings]
    open_turn: OpenTurn | None


class PassedOnConversation(LoadConversationResponse):
    """The same page where nobody looks into its messages: they pass as the store gave them."""

    messages: list[Any]


class ListConversationsRequest(RequestBody):
    """Which conversations, newest activity first."""

    archived: StrictBool = False
    project_id: PlainUuid | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class ListConversationsResponse(Envelope):
    """A page of conversations; `nextCursor` is null on the last one."""

    conversations: list[ConversationRow]
    next_cursor: str | None


class CreateConversationRequest(RequestBody):
    """A new, empty conversation."""

    EXAMPLE: ClassVar = {"title": "Plans"}

    title: Title = "New Chat"
    project_id: PlainUuid | None = None
    metadata: Metadata = Field(default_factory=dict)


class UpdateConversationRequest(RequestBody):
    """What to change; a field that is left out stays as it is.

    `activeBranch` chooses the path through that branch, up to where it was written to last.
    """

    EXAMPLE: ClassVar = {"title": "Better plans"}

    title: Title | None = None
    archived: StrictBool | None = None
    active_branch: Branch | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.title is None and self.archived is None and self.active_branch is None:
            raise ValueError("give a title, archived, or activeBranch")
        return self


class ConversationResponse(Envelope):
    """One conversation."""

    conversation: ConversationRow


class DeletedResponse(Envelope):
    """What is gone."""

    deleted: UUID


class DeletedConversationResponse(DeletedResponse):
    """What is gone. With `more`, of a long one, not all of it is removed yet: the sweep goes on."""

    more: bool


class RemovalStep(BaseModel):
    """What a step of a removal answers."""

    more: bool


class ListPlace(BaseModel):
    """Where the next page of a list begins: behind this conversation, as it stood then."""

    before_updated_at: AwareDatetime
    before_id: UUID


class ConversationList(BaseModel):
    """What list_conversations answers."""

    conversations: list[ConversationRow]
    next: ListPlace | None
