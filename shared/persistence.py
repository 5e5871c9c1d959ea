"""One method for each SQL function, by the same name. Knows arguments and answers, nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from shared.errors import StoreUnavailableError
from shared.models import (
    ConversationList,
    ConversationRow,
    LoadConversationAnswer,
    LoadConversationRequest,
    TurnRecord,
)

if TYPE_CHECKING:
    from uuid import UUID

    from shared.auth import Caller
    from shared.store import Store

log = structlog.get_logger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)


class Persistence:
    """The SQL functions of supabase/migrations, typed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin_turn(
        self,
        *,
        user_id: UUID,
        idempotency_key: str,
        request_hash: str,
        request: str,
        message_id: UUID,
        conversation_id: UUID | None,
        project_id: UUID | None,
        metadata: dict[str, Any],
        lease_seconds: int,
        history_limit: int,
    ) -> TurnRecord:
        """Commit the user's message and open its turn, or find what this key led to.

        `message_id` becomes the row's id where the row is new.
        """
        return await self._call(
            TurnRecord,
            "begin_turn",
            user_id=user_id,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            request=request,
            message_id=message_id,
            conversation_id=conversation_id,
            project_id=project_id,
            metadata=metadata,
            lease_seconds=lease_seconds,
            history_limit=history_limit,
        )

    async def complete_turn(
        self,
        *,
        turn_id: UUID,
        attempt: int,
        message_id: UUID,
        status: str,
        content: str,
        generated_code: str | None,
        metadata: dict[str, Any],
        error: dict[str, Any] | None,
    ) -> TurnRecord:
        """Commit the reply and close the turn; outcome `superseded` where another worker has it."""
        return await self._call(
            TurnRecord,
            "complete_turn",
            turn_id=turn_id,
            attempt=attempt,
            message_id=message_id,
            status=status,
            content=content,
            generated_code=generated_code,
            metadata=metadata,
            error=error,
        )

    async def load_conversation(
        self, request: LoadConversationRequest, *, caller: Caller
    ) -> LoadConversationAnswer:
        """Read a page of a conversation."""
        return await self._call(
            LoadConversationAnswer,
            "load_conversation",
            caller,
            conversation_id=request.conversation_id,
            page_size=request.limit,
            before=request.before,
            after=request.after,
            around=request.around,
        )

    async def list_conversations(
        self,
        *,
        caller: Caller,
        archived: bool,
        project_id: UUID | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
    ) -> ConversationList:
        """Read a page of the caller's conversations, `before` the last row of the one above."""
        before_updated_at, before_id = before or (None, None)
        return await self._call(
            ConversationList,
            "list_conversations",
            caller,
            archived=archived,
            project_id=project_id,
            page_size=limit,
            before_updated_at=before_updated_at,
            before_id=before_id,
        )

    async def create_conversation(
        self, *, caller: Caller, title: str, project_id: UUID | None, metadata: dict[str, Any]
    ) -> ConversationRow:
        """Start an empty conversation."""
        return await self._call(
            ConversationRow,
            "create_conversation",
            caller,
            title=title,
            project_id=project_id,
            metadata=metadata,
        )

    async def get_conversation(self, conversation_id: UUID, *, caller: Caller) -> ConversationRow:
        """Read one conversation's row."""
        return await self._call(
            ConversationRow, "get_conversation", caller, conversation_id=conversation_id
        )

    async def update_conversation(
        self, conversation_id: UUID, *, caller: Caller, title: str | None, archived: bool | None
    ) -> ConversationRow:
        """Rename, archive or restore a conversation; None leaves as it is."""
        return await self._call(
            ConversationRow,
            "update_conversation",
            caller,
            conversation_id=conversation_id,
            title=title,
            archived=archived,
        )

    async def delete_conversation(self, conversation_id: UUID, *, caller: Caller) -> None:
        """Delete a conversation with everything in it."""
        await self._store.call(
            "delete_conversation", {"conversation_id": str(conversation_id)}, caller=caller
        )

    async def ping(self) -> None:
        """Ask the store for nothing but an answer."""
        await self._store.call("ping", {}, caller=None)

    async def _call(
        self, model: type[ModelT], function: str, caller: Caller | None = None, **arguments: Any
    ) -> ModelT:
        plain = {name: _plain(value) for name, value in arguments.items()}
        answer = await self._store.call(function, plain, caller=caller)
        try:
            return model.model_validate(answer)
        except ValidationError as exc:
            log.exception("store_answer_unexpected", function=function)
            raise StoreUnavailableError from exc


def _plain(value: Any) -> Any:
    """Return the JSON form of a uuid or a moment; everything else is JSON already."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)
