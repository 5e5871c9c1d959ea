"""The verbs of turns in memory: the same keys, attempts, leases and limits as the SQL functions.

`tests/contract` shows that it does what the real roads do. Its clock is the event loop's.
"""

import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, Unpack
from uuid import UUID, uuid4

from shared.auth.caller import Caller
from shared.errors import (
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    TurnNotFoundError,
)
from shared.models.context import History
from shared.models.rows import TurnRow
from shared.models.turn_arguments import TurnBegin, TurnCompletion
from shared.models.turns import (
    CompletedTurn,
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
from tests.support.in_memory_rows import Counted, MemoryRows, StoredTurn, moment, now
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


class InMemoryStore(MemoryRows, Persistence):
    """The verbs of turns. `fault` is what every verb meets, `faults` what one of them does."""

    def __init__(self) -> None:
        self.fault: Fault = works
        self.faults: dict[str, Fault] = {}
        self.calls: Counter[str] = Counter()
        MemoryRows.__init__(self)
        self._deleted_keys: set[tuple[UUID, str]] = set()

    @_verb
    async def begin_turn(self, **asked: Unpack[TurnBegin]) -> TurnRecord:
        """Commit the user's message and open its turn, or find what this key led to."""
        user_id, conversation_id = asked["user_id"], asked["conversation_id"]
        known = self._under_key(user_id, asked["idempotency_key"])
        if known is not None:
            return self._resume(known, asked)
        is_new = asked.get("opens_conversation") and conversation_id not in self._conversations
        expired = []
        if conversation_id is not None and not is_new:
            expired = self._running_in(self._conversation(user_id, conversation_id).id)
            if any(not turn.is_expired for turn in expired):
                return self._record(expired[0], "in_progress")
        if (user_id, asked["idempotency_key"]) in self._deleted_keys:
            raise ConversationNotFoundError
        self._require_room(user_id, asked)
        for turn in expired:
            self._interrupt(turn)
        if conversation_id is None or is_new:
            conversation_id = self.add_conversation(
                user_id, asked["project_id"], conversation_id
            ).id
        turn = self._open(conversation_id, asked)
        return self._without_known(
            self._record(turn, "started", asked["history_tokens"]),
            asked.get("known_from"),
            asked.get("known_id"),
        )

    def _open(self, conversation_id: UUID, asked: TurnBegin) -> StoredTurn:
        """Write a turn, and its message unless it answers one that is there."""
        answered = self._fork(conversation_id, asked.get("edits"), asked.get("regenerates"))
        turn_id = asked["message_id"] if answered else uuid4()
        message = answered or self._add(
            conversation_id, id=asked["message_id"], role="user", content=asked["request"],
            metadata=asked["metadata"], parts=asked.get("parts"), native=asked.get("native"),
            turn_id=turn_id,
        )  # fmt: skip
        self.turns[turn_id] = StoredTurn(
            turn_id,
            asked["user_id"],
            conversation_id,
            asked["idempotency_key"],
            asked["request_hash"],
            now() + asked["lease_seconds"],
            message,
            answered.id if answered else None,
        )
        self.counted[turn_id] = Counted(asked["user_id"], now())
        return self.turns[turn_id]

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
    async def complete_turn(self, **done: Unpack[TurnCompletion]) -> CompletedTurn:
        """Commit the reply and close the turn; outcome `superseded` where another worker has it."""
        turn = self.turns.get(done["turn_id"])
        if turn is None or turn.user_id != done["user_id"]:
            raise ConversationNotFoundError
        if turn.status == "running" and turn.attempt == done["attempt"]:
            self.counted[turn.id].tokens = done["tokens"]
            self._settle(
                turn, done["status"], id=done["message_id"], content=done["content"],
                metadata=done["metadata"], generated_code=done["generated_code"],
                parts=done.get("parts"), native=done.get("native"),
            )  # fmt: skip
        is_ours = turn.reply is not None and turn.reply.id == done["message_id"]
        return CompletedTurn(
            outcome="completed" if is_ours else "superseded",
            turn=self._row(turn),
            reply=turn.reply,
        )

    @_verb
    async def extend_turns(
        self, extensions: list[TurnExtension], *, lease_seconds: int
    ) -> ExtendedTurns:
        """Renew the leases of a process's turns and write their drafts."""
        answers = [self._extend(sent, lease_seconds) for sent in extensions]
        held = [turn.status == "running" and not turn.is_expired for turn in self.turns.values()]
        return ExtendedTurns(turns=answers, running=sum(held))

    def _extend(self, sent: TurnExtension, lease_seconds: int) -> ExtendedTurn:
        turn = self.turns.get(sent.turn_id)
        asked = (sent.user_id, "running", sent.attempt)
        if turn is None or (turn.user_id, turn.status, turn.attempt) != asked:
            return ExtendedTurn(turn_id=sent.turn_id, is_ours=False, cancel_requested=False)
        turn.lease_until = now() + lease_seconds
        if sent.tokens is not None:
            self.counted[turn.id].tokens = sent.tokens
        turn.extend(sent)
        return ExtendedTurn(
            turn_id=turn.id,
            is_ours=True,
            cancel_requested=turn.is_cancel_requested,
            conversation_id=turn.conversation_id,
            draft_length=len(turn.draft),
            parts_version=turn.parts_version,
        )

    @_verb
    async def load_turn(self, user_id: UUID, turn_id: UUID, *, caller: Caller | None) -> TurnRecord:
        """Read a turn with its messages and its draft."""
        _require_self(user_id, caller)
        turn = self._turn(user_id, turn_id)
        return self._record(turn).model_copy(
            update={
                "draft": turn.draft,
                "draft_parts": turn.draft_parts,
                "seconds": now() - self.counted[turn_id].at,
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
        return self._record(turn)

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
    async def count_unstored_turn(self, *, user_id: UUID, **limits: int | None) -> CountedTurn:
        """Count a turn of which nothing is stored towards its user's limits."""
        self._require_room(user_id, limits)
        counted = CountedTurn(id=uuid4())
        self.counted[counted.id] = Counted(user_id, now())
        return counted

    @_verb
    async def add_tokens(self, user_id: UUID, turn_id: UUID, *, tokens: int) -> CountedTokens:
        """Count tokens towards a turn that is settled, or was never stored."""
        if turn_id in self.counted:
            self.counted[turn_id].tokens += tokens
        return CountedTokens(is_counted=turn_id in self.counted)

    def tokens_of(self, turn_id: UUID) -> int:
        """Return what a turn took."""
        return self.counted[turn_id].tokens

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

    def _resume(self, turn: StoredTurn, asked: TurnBegin) -> TurnRecord:
        """Say what a key has led to; take its turn over if nobody has it any more."""
        if asked["request_hash"] not in {None, turn.request_hash}:
            raise IdempotencyKeyReusedError
        is_first = asked["message_id"] in {turn.user_message.id, turn.id} and turn.attempt == 1
        if is_first and turn.status == "running":
            return self._record(turn, "started", asked["history_tokens"])
        if turn.is_expired and not turn.is_cancel_requested:
            turn.attempt, turn.draft, turn.draft_parts = turn.attempt + 1, "", []
            turn.lease_until = now() + asked["lease_seconds"]
            return self._record(turn, "taken_over", asked["history_tokens"])
        if turn.is_expired:
            self._interrupt(turn)
        return self._record(turn)

    def _interrupt(self, turn: StoredTurn) -> None:
        error = CANCELLED if turn.is_cancel_requested else INTERRUPTED
        self._settle(
            turn,
            error["type"],
            id=uuid4(),
            content=turn.draft or error["message"],
            metadata={"success": False, "error": error},
            parts=parts_of_draft(turn.draft, turn.draft_parts),
        )

    def _settle(self, turn: StoredTurn, status: str, **reply: Any) -> None:
        """End a turn with a reply of these columns."""
        turn.reply = self._add(turn.conversation_id, role="assistant", turn_id=turn.id, **reply)
        turn.status, turn.draft, turn.draft_parts = status, "", []

    def _record(
        self, turn: StoredTurn, outcome: Any = None, history_tokens: int | None = None
    ) -> TurnRecord:
        """Return a turn with what was said, and with its history if that has a budget."""
        before = self._path_to(self._parents[turn.user_message.id])
        history = (
            History(history=[]) if history_tokens is None else self._history(before, history_tokens)
        )
        return TurnRecord(
            outcome=outcome or ("in_progress" if turn.status == "running" else "replayed"),
            turn=self._row(turn),
            conversation=self._conversations[turn.conversation_id],
            user_message=turn.user_message,
            reply=turn.reply,
            history=history.history,
            context=history.context,
        )

    def _row(self, turn: StoredTurn) -> TurnRow:
        return TurnRow(
            id=turn.id,
            user_id=turn.user_id,
            idempotency_key=turn.idempotency_key,
            status=turn.status,
            attempt=turn.attempt,
            lease_expires_at=moment(turn.lease_until),
            tokens=self.tokens_of(turn.id),
            answers=turn.answers,
        )
