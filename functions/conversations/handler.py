"""A user's conversations as a list, and each by itself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from shared.conversations.cursor import decode_cursor, encode_cursor
from shared.http.routing import BEARER, CallerOf, CheckedRoute, ServicesOf, UserOf
from shared.models.base import PlainUuid
from shared.models.conversations import (
    ConversationAnswer,
    CreateConversationRequest,
    DeletedAnswer,
    ListConversationsAnswer,
    ListConversationsRequest,
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
    query: Annotated[ListConversationsRequest, Query()], user: UserOf, services: ServicesOf
) -> ListConversationsAnswer:
    """Return a page of the user's conversations, newest activity first."""
    page = await services.persistence.list_conversations(
        caller=user,
        archived=query.archived,
        project_id=query.project_id,
        limit=query.limit,
        place=decode_cursor(ListPlace, query.cursor) if query.cursor else None,
    )
    return ListConversationsAnswer(
        conversations=page.conversations,
        next_cursor=encode_cursor(page.next) if page.next else None,
    )


@router.post("", status_code=201)
async def create_conversation(
    body: CreateConversationRequest, user: UserOf, services: ServicesOf
) -> ConversationAnswer:
    """Start an empty conversation."""
    row = await services.persistence.create_conversation(
        caller=user, title=body.title, project_id=body.project_id, metadata=body.metadata
    )
    return ConversationAnswer(conversation=row)


@router.get("/{conversation_id}")
async def get_conversation(
    conversation_id: PlainUuid, caller: CallerOf, services: ServicesOf
) -> ConversationAnswer:
    """Return one conversation without its messages."""
    row = await services.persistence.get_conversation(conversation_id, caller=caller)
    return ConversationAnswer(conversation=row)


@router.patch("/{conversation_id}")
async def update_conversation(
    conversation_id: PlainUuid,
    body: UpdateConversationRequest,
    caller: CallerOf,
    services: ServicesOf,
) -> ConversationAnswer:
    """Rename a conversation, archive it, or restore it."""
    row = await services.persistence.update_conversation(
        conversation_id, caller=caller, title=body.title, archived=body.archived
    )
    return ConversationAnswer(conversation=row)


@router.delete("/{conversation_id}")
async def delete_conversation(
    conversation_id: PlainUuid, caller: CallerOf, services: ServicesOf
) -> DeletedAnswer:
    """Delete a conversation with everything in it, for good."""
    persistence = await services.remover()
    await persistence.delete_conversation(conversation_id, caller=caller)
    return DeletedAnswer(deleted=conversation_id)
