"""The verbs of turns in memory: the same keys, attempts, leases and limits as the SQL functions.

`tests/contract` shows that it does what the real roads do. Its clock is the event loop's.
"""

import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

from shared.auth.caller import Caller
from shared.encoding.parts import Part
from shared.errors import (
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    TurnNotFoundError,
)
from shared.models.context import History
from shared.models.rows import MessageRow, TurnRow
from shared.models.turns import (
    CountedTokens,
    CountedTurn,
    ExtendedTurn,
    ExtendedTurns,
    SettledTurns,
    TurnExtension,
    TurnNews,
    TurnRecord,
)
from shared.persistence import Persistence
from shared.turns.draft import parts_of_draft
from tests.support.in_memory_limits import MemoryLimits
from tests.support.in_memory_rows import MemoryRows, StoredTurn, moment, now
from tests.support.store_faults import Fault, works

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

INTERRUPTED = {
    "type": "interrupted",
    "message": "The reply was interrupted before it was complete.",
}
CANCELLED = {"type": "cancelled", "message": "The reply was stopped."}


def _require_self(user_id: UUID, caller: Caller | None) -> None:
    if caller is not None and caller.user_id not in {None, user_id}:
        raise ForbiddenError


def _verb(
    method: Callable[P, Coroutine[Any, Any, ResultT]],
) -> Callable[P, Coroutine[Any, Any, ResultT]]:
    """Let a method be one round trip, which is counted and may meet a fault."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        store: Any = args[0]
        store.calls[method.__name__] += 1
        fault = store.faults.get(method.__name__, store.fault)
        answer: ResultT = await fault(lambda: method(*args, **kwargs))
        return answer

    return call


class InMemoryStore(MemoryRows, MemoryLimits, Persistence):
    """The verbs of turns. `fault` is what every verb meets, `faults` what one of them does."""

    def __init__(self) -> None:
        self.fault: Fault = works
        self.faults: dict[str, Fault] = {}
        self.calls: Counter[str] = Counter()
        MemoryRows.__init__(self)
        MemoryLimits.__init__(self)
        self._deleted_keys: set[tuple[UUID, str]] = set()

    @_verb
    async def begin_turn(
        self,
        *,
        user_id: UUID,
        idempotency_key: str,
        request_hash: str | None,
        request: str,
        message_id: UUID,
        conversation_id: UUID | None,
        project_id: UUID | None,
        metadata: dict[str, Any],
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
        lease_seconds: int,
        history_tokens: int,
        turns_per_minute: int | None = None,
        turns_per_day: int | None = None,
        tokens_per_day: int | None = None,
        edits: UUID | None = None,
        regenerates: UUID | None = None,
        opens_conversation: bool = False,
        known_from: int | None = None,
        known_id: UUID | None = None,
    ) -> TurnRecord:
        """Commit the user's message and open its turn, or find what this key led to."""
        known = self._under_key(user_id, idempotency_key)
        if known is not None:
            if request_hash is not None and known.request_hash != request_hash:
                raise IdempotencyKeyReusedError
            is_repeated = message_id in {known.user_message.id, known.id} and known.attempt == 1
            return self._resume(known, lease_seconds, history_tokens, is_repeated=is_repeated)
        expired = []
        is_new = opens_conversation and conversation_id not in self._conversations
        if conversation_id is not None and not is_new:
            expired = self._running_in(self._conversation(user_id, conversation_id).id)
            if any(not turn.is_expired for turn in expired):
                return self._record(expired[0], "in_progress")
        if (user_id, idempotency_key) in self._deleted_keys:
            raise ConversationNotFoundError
        self._require_turns_left(user_id, minute=turns_per_minute, day=turns_per_day)
        self._require_tokens_left(user_id, tokens_per_day)
        for turn in expired:
            self._interrupt(turn)
        if conversation_id is None or is_new:
            conversation_id = self.add_conversation(user_id, project_id, conversation_id).id
        answered = self._fork(conversation_id, edits, regenerates)
        turn = StoredTurn(
            user_id,
            conversation_id,
            idempotency_key,
            request_hash,
            now() + lease_seconds,
            answered
            or self._add(
                conversation_id, message_id, "user", request, metadata, parts=parts, native=native
            ),
        )
        self._open(turn, message_id, answered)
        self._begun_at.setdefault(user_id, []).append(now())
        self._spent[turn.id] = (user_id, now(), 0)
        return self._without_known(
            self._record(turn, "started", history_tokens), known_from, known_id
        )

    @staticmethod
    def _without_known(
        record: TurnRecord, known_from: int | None, known_id: UUID | None
    ) -> TurnRecord:
        """Leave out what the asker has."""
        context = record.context
        places = [row["seq"] for row in record.history if row["id"] == known_id]
        if context is None or known_from is None or not places:
            return record
        if not context.is_complete or known_from > context.first:
            return record
        return record.model_copy(
            update={
                "history": [row for row in record.history if row["seq"] > places[0]],
                "context": context.model_copy(update={"known": places[0]}),
            }
        )

    @_verb
    async def complete_turn(
        self,
        *,
        user_id: UUID,
        turn_id: UUID,
        attempt: int,
        message_id: UUID,
        status: str,
        content: str,
        generated_code: str | None,
        metadata: dict[str, Any],
        error: dict[str, Any] | None,
        tokens: int,
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
    ) -> TurnRecord:
        """Commit the reply and close the turn; outcome `superseded` where another worker has it."""
        turn = self.turns.get(turn_id)
        if turn is None or turn.user_id != user_id:
            raise ConversationNotFoundError
        if turn.reply is not None and turn.reply.id == message_id:
            return self._record(turn, "completed")
        if turn.status != "running" or turn.attempt != attempt:
            return self._record(turn, "superseded")
        self._spent[turn_id] = (turn.user_id, self._begun_of(turn_id), tokens)
        self._settle(
            turn, status, message_id, content, metadata, generated_code, parts=parts, native=native
        )
        return self._record(turn, "completed")

    @_verb
    async def extend_turns(
        self, extensions: list[TurnExtension], *, lease_seconds: int
    ) -> ExtendedTurns:
        """Renew the leases of a process's turns and write their drafts."""
        answers = []
        for sent in extensions:
            turn = self.turns.get(sent.turn_id)
            is_ours = turn is not None and (turn.user_id, turn.status, turn.attempt) == (
                sent.user_id,
                "running",
                sent.attempt,
            )
            if turn is not None and is_ours:
                turn.lease_until = now() + lease_seconds
                if sent.tokens is not None:
                    self._spent[turn.id] = (turn.user_id, self._begun_of(turn.id), sent.tokens)
                turn.extend(sent)
            answers.append(
                ExtendedTurn(
                    turn_id=sent.turn_id,
                    is_ours=is_ours,
                    cancel_requested=turn is not None and is_ours and turn.is_cancel_requested,
                    conversation_id=turn.conversation_id if turn and is_ours else None,
                    draft_length=len(turn.draft) if turn and is_ours else None,
                    parts_version=turn.parts_version if turn and is_ours else None,
                )
            )
        running = sum(
            turn.status == "running" and not turn.is_expired for turn in self.turns.values()
        )
        return ExtendedTurns(turns=answers, running=running)

    @_verb
    async def load_turn(self, user_id: UUID, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft."""
        _require_self(user_id, caller)
        turn = self._turn(user_id, turn_id)
        record = self._record(turn, "in_progress" if turn.status == "running" else "replayed")
        return record.model_copy(
            update={
                "draft": turn.draft,
                "draft_parts": turn.draft_parts,
                "seconds": now() - turn.begun_at,
                "is_expired": turn.is_expired,
            }
        )

    @_verb
    async def follow_turn(
        self,
        user_id: UUID,
        turn_id: UUID,
        *,
        attempt: int,
        draft_offset: int,
        parts_version: int = 0,
    ) -> TurnNews:
        """Read how a turn stands, and its draft from an offset on."""
        turn = self._turn(user_id, turn_id)
        return TurnNews(
            status=turn.status,
            attempt=turn.attempt,
            lease_expires_at=moment(turn.lease_until),
            is_expired=turn.is_expired,
            draft_tail=turn.draft[draft_offset if turn.attempt == attempt else 0 :],
            draft_parts=[
                entry
                for entry in turn.draft_parts
                if entry.version > (parts_version if turn.attempt == attempt else 0)
            ],
        )

    @_verb
    async def cancel_turn(self, user_id: UUID, turn_id: UUID) -> TurnRecord:
        """Ask a turn of this user to stop."""
        turn = self._turn(user_id, turn_id)
        turn.is_cancel_requested = turn.is_cancel_requested or turn.status == "running"
        if turn.is_expired:
            self._interrupt(turn)
        return self._record(turn, "in_progress" if turn.status == "running" else "replayed")

    @_verb
    async def settle_expired_turn(self, user_id: UUID, conversation_id: UUID) -> SettledTurns:
        """Settle a conversation's running turn if its lease is over."""
        expired = [
            turn
            for turn in self._running_in(conversation_id)
            if turn.is_expired and turn.user_id == user_id
        ]
        for turn in expired:
            self._interrupt(turn)
        return SettledTurns(settled=len(expired))

    @_verb
    async def count_unstored_turn(
        self,
        *,
        user_id: UUID,
        turns_per_minute: int | None,
        turns_per_day: int | None,
        tokens_per_day: int | None,
    ) -> CountedTurn:
        """Count a turn of which nothing is stored towards its user's limits."""
        self._require_turns_left(user_id, minute=turns_per_minute, day=turns_per_day)
        self._require_tokens_left(user_id, tokens_per_day)
        self._begun_at.setdefault(user_id, []).append(now())
        counted = CountedTurn(id=uuid4())
        self._spent[counted.id] = (user_id, now(), 0)
        return counted

    @_verb
    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored."""
        if turn_id not in self._spent:
            return CountedTokens(is_counted=False)
        _, at, before = self._spent[turn_id]
        self._spent[turn_id] = (user_id, at, before + tokens)
        return CountedTokens(is_counted=True)

    @_verb
    async def load_history(
        self, user_id: UUID, conversation_id: UUID, *, history_tokens: int, caller: Caller
    ) -> History:
        """Read the newest messages that fit a budget."""
        _require_self(user_id, caller)
        self._conversation(user_id, conversation_id)
        return self._history(self._path_to(self._tips[conversation_id]), history_tokens)

    def forget_conversation(self, conversation_id: UUID) -> None:
        """Remove a conversation with its messages and turns, whose keys lead nowhere then."""
        del self._conversations[conversation_id], self.messages[conversation_id]
        for turn in list(self.turns.values()):
            if turn.conversation_id == conversation_id:
                del self.turns[turn.id]
                self._deleted_keys.add((turn.user_id, turn.idempotency_key))

    def _turn(self, user_id: UUID, turn_id: UUID) -> StoredTurn:
        turn = self.turns.get(turn_id)
        if turn is None or turn.user_id != user_id:
            raise TurnNotFoundError
        return turn

    def _under_key(self, user_id: UUID, key: str) -> StoredTurn | None:
        """Return the turn that the user's key led to."""
        keyed = {(turn.user_id, turn.idempotency_key): turn for turn in self.turns.values()}
        return keyed.get((user_id, key))

    def _running_in(self, conversation_id: UUID) -> list[StoredTurn]:
        return [
            turn
            for turn in self.turns.values()
            if turn.conversation_id == conversation_id and turn.status == "running"
        ]

    def _resume(
        self, turn: StoredTurn, lease_seconds: int, history_tokens: int, *, is_repeated: bool
    ) -> TurnRecord:
        if is_repeated and turn.status == "running":
            return self._record(turn, "started", history_tokens)
        if turn.is_expired and not turn.is_cancel_requested:
            turn.attempt, turn.draft, turn.draft_parts = turn.attempt + 1, "", []
            turn.lease_until = now() + lease_seconds
            return self._record(turn, "taken_over", history_tokens)
        if turn.is_expired:
            self._interrupt(turn)
        return self._record(turn, "in_progress" if turn.status == "running" else "replayed")

    def _interrupt(self, turn: StoredTurn) -> None:
        error = CANCELLED if turn.is_cancel_requested else INTERRUPTED
        content = turn.draft or error["message"]
        metadata = {"success": False, "error": error}
        parts = parts_of_draft(turn.draft, turn.draft_parts)
        self._settle(turn, error["type"], uuid4(), content, metadata, None, parts=parts)

    def _settle(
        self,
        turn: StoredTurn,
        status: str,
        message_id: UUID,
        content: str,
        metadata: dict[str, Any],
        generated_code: str | None,
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
    ) -> None:
        row = self._add(
            turn.conversation_id, message_id, "assistant", content, metadata, generated_code,
            parts=parts, native=native,
        )  # fmt: skip
        turn.reply = self._of_turn(row, turn.id)
        turn.status, turn.draft, turn.draft_parts = status, "", []

    def _open(self, turn: StoredTurn, message_id: UUID, answered: MessageRow | None) -> None:
        if answered is None:
            turn.user_message = self._of_turn(turn.user_message, turn.id)
        else:
            turn.id, turn.answers = message_id, answered.id
        self.turns[turn.id] = turn

    def _record(
        self, turn: StoredTurn, outcome: Any, history_tokens: int | None = None
    ) -> TurnRecord:
        before = self._path_to(self._parents[turn.user_message.id])
        history = (
            History(history=[]) if history_tokens is None else self._history(before, history_tokens)
        )
        row = TurnRow(
            id=turn.id,
            user_id=turn.user_id,
            idempotency_key=turn.idempotency_key,
            status=turn.status,
            attempt=turn.attempt,
            lease_expires_at=moment(turn.lease_until),
            tokens=self._spent[turn.id][2] if turn.id in self._spent else 0,
            answers=turn.answers,
        )
        return TurnRecord(
            outcome=outcome,
            turn=row,
            conversation=self._conversations[turn.conversation_id],
            user_message=turn.user_message,
            reply=turn.reply,
            history=history.history,
            context=history.context,
        )
