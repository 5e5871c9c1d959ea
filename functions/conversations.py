"""A user's conversations as a list, and each by itself."""

from shared.conversations.cursor import decode_cursor, encode_cursor
from shared.errors import (
    BranchNotFoundError,
    ConversationNotFoundError,
    LegalHoldError,
    TurnInProgressError,
)
from shared.http.dependencies import CurrentCaller, CurrentContainer, SignedInUser, UserInQuery
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.models.base import PlainUuid
from shared.models.conversations import (
    ConversationResponse,
    CreateConversationRequest,
    DeletedConversationResponse,
    ListConversationsRequest,
    ListConversationsResponse,
    ListPlace,
    UpdateConversationRequest,
)

router = EndpointRouter("conversations")

MAY_FAIL = error_responses(ConversationNotFoundError, BranchNotFoundError, TurnInProgressError)


@router.get("")
async def list_conversations(
    request: ListConversationsRequest,
    user: SignedInUser,
    container: CurrentContainer,
) -> ListConversationsResponse:
    """Return a page of the user's conversations, newest activity first."""
    page = await container.persistence.list_conversations(
        user.acting_for(None),
        caller=user,
        archived=request.archived,
        project_id=request.project_id,
        limit=request.limit,
        place=decode_cursor(ListPlace, request.cursor) if request.cursor else None,
    )
    return ListConversationsResponse(
        conversations=page.conversations,
        next_cursor=encode_cursor(page.next) if page.next else None,
    )


@router.post("", status_code=201)
async def create_conversation(
    request: CreateConversationRequest, user: SignedInUser, container: CurrentContainer
) -> ConversationResponse:
    """Start an empty conversation."""
    row = await container.persistence.create_conversation(
        user.acting_for(None), caller=user, **dict(request)
    )
    return ConversationResponse(conversation=row)


@router.get("/{conversation_id}", responses=error_responses(ConversationNotFoundError))
async def get_conversation(
    conversation_id: PlainUuid,
    user_id: UserInQuery,
    caller: CurrentCaller,
    container: CurrentContainer,
) -> ConversationResponse:
    """Return one conversation without its messages."""
    row = await container.persistence.get_conversation(user_id, conversation_id, caller=caller)
    return ConversationResponse(conversation=row)


@router.patch("/{conversation_id}", responses=MAY_FAIL)
async def update_conversation(
    conversation_id: PlainUuid,
    user_id: UserInQuery,
    request: UpdateConversationRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
) -> ConversationResponse:
    """Rename a conversation, archive or restore it, or choose its branch."""
    row = await container.persistence.update_conversation(
        user_id, conversation_id, caller=caller, **dict(request)
    )
    return ConversationResponse(conversation=row)


@router.delete(
    "/{conversation_id}", responses=error_responses(ConversationNotFoundError, LegalHoldError)
)
async def delete_conversation(
    conversation_id: PlainUuid,
    user_id: UserInQuery,
    caller: CurrentCaller,
    container: CurrentContainer,
) -> DeletedConversationResponse:
    """Delete a conversation with everything in it, for good."""
    step = await container.persistence.delete_conversation(user_id, conversation_id, caller=caller)
    return DeletedConversationResponse(deleted=conversation_id, more=step.more)
