"""A conversation for the AI SDK's `useChat`: its requests and its UI message stream protocol."""

from typing import Annotated, Any

from fastapi import Path, Query, Response

from shared.errors import (
    ConversationNotFoundError,
    IdempotencyKeyReusedError,
    TooManyBytesError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnInProgressError,
    TurnNotFoundError,
)
from shared.http.dependencies import (
    ArrivedAt,
    CurrentCaller,
    CurrentContainer,
    GivenKey,
    UserInQuery,
)
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.http.sse import UI_STREAM, ui_message_stream
from shared.models.base import PlainUuid
from shared.models.ui_messages import (
    ChatId,
    LoadUiMessagesRequest,
    LoadUiMessagesResponse,
    StopChatResponse,
    UiMessagesRequest,
)
from shared.ui_stream.requests import Sending

router = EndpointRouter("ui-messages")

Chat = Annotated[ChatId, Path()]
NOTHING_RUNS: dict[int | str, dict[str, Any]] = {
    204: {"description": "Nothing runs.", "content": {}}
}
MAY_FAIL = error_responses(
    ConversationNotFoundError, TurnInProgressError, IdempotencyKeyReusedError,
    TooManyTurnsError, TooManyTokensError, TooManyBytesError,
)  # fmt: skip


@router.post("", response_class=Response, responses=MAY_FAIL | UI_STREAM)
async def send_message(
    body: UiMessagesRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    arrived_at: ArrivedAt,
    idempotency_key: GivenKey,
) -> Response:
    """Answer the last message as a stream of chunks, as `DefaultChatTransport` asks for it.

    The turn goes on to its end also if the client goes away: stopping is a call of its own. The
    same new message is the same turn, by its id; Idempotency-Key says so of an edit, of a reply
    that is made once more and of an answer to tool calls.
    """
    user_id = caller.acting_for(body.user_id)
    chat = container.ui_chat(user_id, body.id, caller=caller)
    return ui_message_stream(await chat.send(Sending(body, idempotency_key, arrived_at)))


@router.get("/{chat_id}", responses=error_responses())
async def load_messages(
    chat_id: Chat,
    request: LoadUiMessagesRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
) -> LoadUiMessagesResponse:
    """Return a page of the chat in the AI SDK's shape, for the `messages` of `useChat`."""
    user_id = caller.acting_for(request.user_id)
    chat = container.ui_chat(user_id, chat_id, caller=caller)
    return await chat.load(limit=request.limit, before=request.before)


@router.get(
    "/{chat_id}/stream",
    response_class=Response,
    responses=error_responses(TurnNotFoundError) | UI_STREAM | NOTHING_RUNS,
)
async def resume_stream(
    chat_id: Chat,
    user_id: UserInQuery,
    caller: CurrentCaller,
    container: CurrentContainer,
    turn_id: Annotated[PlainUuid | None, Query(alias="turnId")] = None,
) -> Response:
    """Stream the reply that is being written, from its start on.

    With `turnId`, that turn's, also if it has ended since it was seen to run.
    """
    chunks = await container.ui_chat(user_id, chat_id, caller=caller).resume(turn_id)
    return Response(status_code=204) if chunks is None else ui_message_stream(chunks)


@router.post("/{chat_id}/stop", responses=error_responses())
async def stop_chat(
    chat_id: Chat, user_id: UserInQuery, caller: CurrentCaller, container: CurrentContainer
) -> StopChatResponse:
    """Stop the turn that runs; what it has written is kept as the reply."""
    return await container.ui_chat(user_id, chat_id, caller=caller).stop()
