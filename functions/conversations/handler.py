"""A user's conversations as a list, and each by itself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.conversations.cursor import decode_cursor, encode_cursor
from shared.http.routing import BEARER, CheckedRoute, CurrentCaller, CurrentContainer, SignedInUser
from shared.models.base import PlainUuid
from shared.models.conversations import (
    ConversationResponse,
    CreateConversationRequest,
    DeletedResponse,
    ListConversationsRequest,
    ListConversationsResponse,
    ListPlace,
    UpdateConversationRequest,
)

router = APIRouter(
    prefix="/conversations",
    route_class=CheckedRoute,
    dependencies=[Depends(BEARER)],
    tags=["conversations"],
)


@router.get("")
async def list_conversations(
    query: Annotated[ListConversationsRequest, Query()],
    user: SignedInUser,
    container: CurrentContainer,
) -> ListConversationsResponse:
    """Return a page of the user's conversations, newest activity first."""
    page = await container.persistence.list_conversations(
        caller=user,
        archived=query.archived,
        project_id=query.project_id,
        limit=query.limit,
        place=decode_cursor(ListPlace, query.cursor) if query.cursor else None,
    )
    return ListConversationsResponse(
        conversations=page.conversations,
        next_cursor=encode_cursor(page.next) if page.next else None,
    )


@router.post("", status_code=201)
async def create_conversation(
    body: CreateConversationRequest, user: SignedInUser, container: CurrentContainer
) -> ConversationResponse:
    """Start an empty conversation."""
    row = await container.persistence.create_conversation(
        caller=user, title=body.title, project_id=body.project_id, metadata=body.metadata
    )
    return ConversationResponse(conversation=row)


@router.get("/{conversation_id}")
async def get_conversation(
    conversation_id: PlainUuid, caller: CurrentCaller, container: CurrentContainer
) -> ConversationResponse:
    """Return one conversation without its messages."""
    row = await container.persistence.get_conversation(conversation_id, caller=caller)
    return ConversationResponse(conversation=row)


@router.patch("/{conversation_id}")
async def update_conversation(
    conversation_id: PlainUuid,
    body: UpdateConversationRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
) -> ConversationResponse:
    """Rename a conversation, archive it, or restore it."""
    row = await container.persistence.update_conversation(
        conversation_id, caller=caller, title=body.title, archived=body.archived
    )
    return ConversationResponse(conversation=row)


@router.delete("/{conversation_id}")
async def delete_conversation(
    conversation_id: PlainUuid, caller: CurrentCaller, container: CurrentContainer
) -> DeletedResponse:
    """Delete a conversation with everything in it, for good."""
    persistence = await container.remover()
    await persistence.delete_conversation(conversation_id, caller=caller)
    return DeletedResponse(deleted=conversation_id)
