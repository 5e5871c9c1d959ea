"""The verbs of turns in memory: the same keys, attempts, leases and limits as the SQL functions.

`tests/contract` shows that it does what the real roads do. Its clock is the event loop's.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

from shared.ai.tokens import estimate_tokens
from shared.auth.caller import Caller
from shared.encoding.parts import Part
from shared.errors import (
    ConversationNotFoundError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    MessageNotEditableError,
    MessageNotFoundError,
    TooManyTokensError,
    TooManyTurnsError,
    TurnNotFoundError,
)
from shared.models.context import History, HistoryContext
from shared.models.rows import ConversationRow, MessageRow, TurnRow
from shared.models.turns import (
    CountedTokens,
    CountedTurn,
    DraftPart,
    ExtendedTurn,
    ExtendedTurns,
    SettledTurns,
    TurnExtension,
    TurnNews,
    TurnRecord,
)
from shared.turns.draft import merged, parts_of_draft
from tests.support.store_faults import Fault, works

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PERIODS = {"minute": 60, "day": 86_400}
INTERRUPTED = {
    "type": "interrupted",
    "message": "The reply was interrupted before it was complete.",
}
CANCELLED = {"type": "cancelled", "message": "The reply was stopped."}


@dataclass
class StoredTurn:
    """A row of turns."""

    user_id: UUID
    conversation_id: UUID
    idempotency_key: str
    request_hash: str
    lease_until: float
    user_message: MessageRow
    id: UUID = field(default_factory=uuid4)
    status: str = "running"
    attempt: int = 1
    draft: str = ""
    draft_parts: list[DraftPart] = field(default_factory=list)
    reply: MessageRow | None = None
    is_cancel_requested: bool = False
    answers: UUID | None = None

    @property
    def is_expired(self) -> bool:
        """Whether it runs and nobody holds it."""
        return self.status == "running" and self.lease_until <= now()

    @property
    def parts_version(self) -> int:
        """How many changes the parts of its draft have had."""
        return max((entry.version for entry in self.draft_parts), default=0)

    def extend(self, sent: TurnExtension) -> None:
        """Write what there is more of the draft, if it is where that belongs."""
        end = sent.draft_offset + len(sent.draft_tail)
        is_next = sent.parts_version == self.parts_version and (
            sent.draft_offset <= len(self.draft) <= end
        )
        if sent.parts_version is not None and not is_next:
            return
        if sent.draft_offset <= len(self.draft):
            longer = self.draft[: sent.draft_offset] + sent.draft_tail
            self.draft = max(self.draft, longer, key=len)
        self.draft_parts = merged(self.draft_parts, sent.draft_parts or [])


def now() -> float:
    """Return the store's time."""
    return asyncio.get_running_loop().time()


def moment(at: float) -> str:
    """Return a time as a row has it."""
    return (EPOCH + timedelta(seconds=at)).isoformat()


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


class InMemoryStore:
    """A TurnStore. `fault` is what every verb meets, `faults` what one of them does."""

    def __init__(self) -> None:
        self.fault: Fault = works
        self.faults: dict[str, Fault] = {}
        self.calls: Counter[str] = Counter()
        self.turns: dict[UUID, StoredTurn] = {}
        self.messages: dict[UUID, list[MessageRow]] = {}  # by conversation, in order
        self._conversations: dict[UUID, ConversationRow] = {}
        self._parents: dict[UUID, MessageRow | None] = {}  # by message
        self._tips: dict[UUID, MessageRow | None] = {}  # by conversation
        self._begun_at: dict[UUID, list[float]] = {}  # by user, what isn't stored too
        self._spent: dict[UUID, tuple[UUID, float, int]] = {}  # by turn: whose, when, tokens
        self._deleted_keys: set[tuple[UUID, str]] = set()

    @_verb
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
            if known.request_hash != request_hash:
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
                "is_expired": turn.is_expired,
            }
        )

    @_verb
    async def watch_turn(
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

    def add_conversation(
        self, user_id: UUID, project_id: UUID | None = None, conversation_id: UUID | None = None
    ) -> ConversationRow:
        """Make a conversation."""
        row = ConversationRow(
            id=conversation_id or uuid4(), user_id=user_id, project_id=project_id,
            title="New Chat", metadata={},
            last_seq=0, created_at=moment(now()), updated_at=moment(now()), archived_at=None,
        )  # fmt: skip
        self._conversations[row.id] = row
        self.messages[row.id] = []
        self._tips[row.id] = None
        return row

    def delete_conversation(self, conversation_id: UUID) -> None:
        """Remove a conversation with its messages and turns, whose keys lead nowhere then."""
        del self._conversations[conversation_id], self.messages[conversation_id]
        for turn in list(self.turns.values()):
            if turn.conversation_id == conversation_id:
                del self.turns[turn.id]
                self._deleted_keys.add((turn.user_id, turn.idempotency_key))

    def _conversation(self, user_id: UUID, conversation_id: UUID) -> ConversationRow:
        found = self._conversations.get(conversation_id)
        if found is None or found.user_id != user_id:
            raise ConversationNotFoundError
        return found

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

    def _require_turns_left(self, user_id: UUID, **limits: int | None) -> None:
        for name, limit in limits.items():
            begun = self._begun_at.get(user_id, [])
            recent = [at for at in begun if at > now() - PERIODS[name]]
            if limit is not None and len(recent) >= limit:
                oldest = sorted(recent)[-limit] if limit else now()
                wait = max(1, ceil(oldest + PERIODS[name] - now()))
                raise TooManyTurnsError(f"Too many turns this {name}.", retry_after=wait)

    def _require_tokens_left(self, user_id: UUID, limit: int | None) -> None:
        since = now() - PERIODS["day"]
        recent = [
            (at, n)
            for whose, at, n in self._spent.values()
            if (whose, at > since) == (user_id, True)
        ]
        if limit is not None and sum(n for _, n in recent) >= limit:
            raise TooManyTokensError("Too many tokens this day.", retry_after=PERIODS["day"])

    def _begun_of(self, turn_id: UUID) -> float:
        return self._spent[turn_id][1]

    def tokens_of(self, turn_id: UUID) -> int:
        """Return what a turn took."""
        return self._spent[turn_id][2]

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

    def _add(
        self,
        conversation_id: UUID,
        message_id: UUID,
        role: Any,
        content: str,
        metadata: dict[str, Any],
        generated_code: str | None = None,
        parts: list[Part] | None = None,
        native: dict[str, Any] | None = None,
    ) -> MessageRow:
        conversation = self._conversations[conversation_id]
        rows, tip = self.messages[conversation_id], self._tips[conversation_id]
        seq, last = conversation.last_seq + 1, conversation.last_branch
        branch = last + 1 if rows and (tip is None or tip.id != rows[-1].id) else last
        row = MessageRow(
            id=message_id, conversation_id=conversation_id, user_id=conversation.user_id, seq=seq,
            role=role, content=content, generated_code=generated_code, metadata=metadata,
            is_summary=False, created_at=moment(now()), turn_id=None, parts=parts or [],
            native=native, branch=branch,
        )  # fmt: skip
        self._parents[row.id], self._tips[conversation_id] = tip, row
        rows.append(row)
        moved = {"last_seq": seq, "active_branch": branch, "last_branch": branch}
        self._conversations[conversation_id] = conversation.model_copy(update=moved)
        return row

    def _open(self, turn: StoredTurn, message_id: UUID, answered: MessageRow | None) -> None:
        if answered is None:
            turn.user_message = self._of_turn(turn.user_message, turn.id)
        else:
            turn.id, turn.answers = message_id, answered.id
        self.turns[turn.id] = turn

    def _fork(
        self, conversation_id: UUID, edits: UUID | None, regenerates: UUID | None
    ) -> MessageRow | None:
        """Go on beside a message, or below the one that is to be answered, which is returned."""
        named = edits or regenerates
        if named is None:
            return None
        rows = {row.id: row for row in self.messages[conversation_id]}
        if named not in rows:
            raise MessageNotFoundError
        beside = rows[named]
        if edits is not None and beside.role != "user":
            raise MessageNotEditableError
        is_below = edits is None and beside.role == "user"
        self._tips[conversation_id] = beside if is_below else self._parents[named]
        if edits is not None or is_below:
            return beside if is_below else None
        return self.turns[beside.turn_id].user_message if beside.turn_id else None

    def _path_to(self, tip: MessageRow | None) -> list[MessageRow]:
        path: list[MessageRow] = []
        while tip is not None:
            path.append(tip)
            tip = self._parents[tip.id]
        return path[::-1]

    def _of_turn(self, row: MessageRow, turn_id: UUID) -> MessageRow:
        rows = self.messages[row.conversation_id]
        rows[-1] = row.model_copy(update={"turn_id": turn_id})
        self._tips[row.conversation_id] = rows[-1]
        return rows[-1]

    def _history(self, rows: list[MessageRow], budget: int) -> History:
        """Return the newest messages that fit; a long one counts no more than a quarter."""
        sizes = [estimate_tokens(row.content) for row in rows]
        longest = max(budget // 4, 5)
        is_whole = sum(sizes) <= budget
        first, room = len(rows), budget
        while not is_whole and first and (room := room - min(sizes[first - 1], longest)) >= 0:
            first -= 1
        given = rows if is_whole else rows[first:]
        return History(
            history=[
                {
                    "id": row.id,
                    "seq": row.seq,
                    "role": row.role,
                    "content": row.content if is_whole else row.content[: longest * 3],
                    "parts": row.parts,
                    "native": row.native,
                }
                for row in given
            ],
            context=HistoryContext(
                covers_to=0,
                first=1 if is_whole else given[0].seq if given else rows[-1].seq + 1,
                is_complete=is_whole or max(sizes[first:], default=0) <= longest,
                omitted=len(rows) - len(given),
                longest=longest,
                is_whole=is_whole,
                since_tokens=sum(sizes),
            ),
        )

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
