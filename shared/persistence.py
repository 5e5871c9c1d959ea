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
    Heartbeat,
    InvariantReport,
    LoadConversationAnswer,
    LoadConversationRequest,
    RepairReport,
    Settled,
    TurnRecord,
)

if TYPE_CHECKING:
    from uuid import UUID

    from shared.auth import Caller
    from shared.store import Store

log = structlog.get_logger(__name__)

# Calls that do the same once or twice: reads, and writes under a key.
REPEATABLE = frozenset(
    {
        "begin_turn",
        "cancel_turn",
        "get_conversation",
        "list_conversations",
        "load_conversation",
        "load_turn",
        "settle_expired_turn",
    }
)
ATTEMPTS = 4

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
        turns_per_minute: int | None = None,
        turns_per_day: int | None = None,
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
            turns_per_minute=turns_per_minute,
            turns_per_day=turns_per_day,
        )

    async def extend_turn(
        self,
        *,
        turn_id: UUID,
        attempt: int,
        lease_seconds: int,
        draft_offset: int,
        draft_tail: str,
    ) -> Heartbeat:
        """Renew a worker's lease and write its draft from an offset on (in characters)."""
        return await self._call(
            Heartbeat,
            "extend_turn",
            turn_id=turn_id,
            attempt=attempt,
            lease_seconds=lease_seconds,
            draft_offset=draft_offset,
            draft_tail=draft_tail,
        )

    async def load_turn(self, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft; as the service where `caller` is None."""
        return await self._call(TurnRecord, "load_turn", caller, turn_id=turn_id)

    async def cancel_turn(self, turn_id: UUID, *, user_id: UUID | None) -> TurnRecord:
        """Ask a turn of this user (None: of anyone) to stop."""
        return await self._call(TurnRecord, "cancel_turn", turn_id=turn_id, user_id=user_id)

    async def settle_expired_turn(self, conversation_id: UUID) -> Settled:
        """Settle a conversation's running turn if its lease is over."""
        return await self._call(Settled, "settle_expired_turn", conversation_id=conversation_id)

    async def sweep_turns(self) -> Settled:
        """Settle every turn whose lease is over."""
        return await self._call(Settled, "sweep_turns")

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

    async def check_invariants(
        self, *, grace_seconds: int, since: datetime | None = None
    ) -> InvariantReport:
        """Count what is broken: everywhere, or cheaply in what was written to `since` then."""
        return await self._call(
            InvariantReport, "check_invariants", grace_seconds=grace_seconds, since=since
        )

    async def repair_invariants(self, *, grace_seconds: int) -> RepairReport:
        """Mend what check_invariants finds; never deletes a message."""
        return await self._call(RepairReport, "repair_invariants", grace_seconds=grace_seconds)

    async def ping(self) -> None:
        """Ask the store for nothing but an answer."""
        await self._store.call("ping", {}, caller=None)

    async def _call(
        self, model: type[ModelT], function: str, caller: Caller | None = None, **arguments: Any
    ) -> ModelT:
        plain = {name: _plain(value) for name, value in arguments.items()}
        attempts = ATTEMPTS if function in REPEATABLE else 1
        answer = await self._store.call(function, plain, caller=caller, attempts=attempts)
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
