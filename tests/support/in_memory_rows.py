"""The rows that the store in memory keeps: conversations, their trees of messages, and turns."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID, uuid4

from shared.ai.tokens import estimate_tokens
from shared.errors import (
    ConversationNotFoundError,
    MessageNotEditableError,
    MessageNotFoundError,
    TooManyTokensError,
    TooManyTurnsError,
)
from shared.models.context import History, HistoryContext
from shared.models.rows import ConversationRow, MessageRow
from shared.models.turns import DraftPart, TurnExtension
from shared.turns.draft import merged

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PERIODS = {"minute": 60, "day": 86_400}


@dataclass
class StoredTurn:
    """A row of turns."""

    id: UUID
    user_id: UUID
    conversation_id: UUID
    idempotency_key: str
    request_hash: str | None
    lease_until: float
    user_message: MessageRow
    answers: UUID | None
    status: str = "running"
    attempt: int = 1
    draft: str = ""
    draft_parts: list[DraftPart] = field(default_factory=list)
    reply: MessageRow | None = None
    is_cancel_requested: bool = False

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


@dataclass
class Counted:
    """A turn, stored or not, as it counts towards its user's limits."""

    user_id: UUID
    at: float
    tokens: int = 0


def now() -> float:
    """Return the store's time."""
    return asyncio.get_running_loop().time()


def moment(at: float) -> str:
    """Return a time as a row has it."""
    return (EPOCH + timedelta(seconds=at)).isoformat()


class MemoryRows:
    """Conversations, messages in the order of writing and by what they follow, and turns."""

    def __init__(self) -> None:
        self.turns: dict[UUID, StoredTurn] = {}
        self.counted: dict[UUID, Counted] = {}  # by turn
        self.messages: dict[UUID, list[MessageRow]] = {}  # by conversation, in order
        self._conversations: dict[UUID, ConversationRow] = {}
        self._parents: dict[UUID, MessageRow | None] = {}  # by message
        self._tips: dict[UUID, MessageRow | None] = {}  # by conversation

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

    def _require_room(self, user_id: UUID, limits: Mapping[str, Any]) -> None:
        """Refuse a turn that is more than its user may begin."""
        mine = [one for one in self.counted.values() if one.user_id == user_id]
        for name, seconds in PERIODS.items():
            recent = sorted(one.at for one in mine if one.at > now() - seconds)
            limit = limits.get(f"turns_per_{name}")
            if limit is not None and len(recent) >= limit:
                oldest = recent[-limit] if limit else now()
                wait = max(1, ceil(oldest + seconds - now()))
                raise TooManyTurnsError(f"Too many turns this {name}.", retry_after=wait)
        limit = limits.get("tokens_per_day")
        spent = sum(one.tokens for one in mine if one.at > now() - PERIODS["day"])
        if limit is not None and spent >= limit:
            raise TooManyTokensError("Too many tokens this day.", retry_after=PERIODS["day"])

    def _conversation(self, user_id: UUID, conversation_id: UUID) -> ConversationRow:
        found = self._conversations.get(conversation_id)
        if found is None or found.user_id != user_id:
            raise ConversationNotFoundError
        return found

    def _path_to(self, tip: MessageRow | None) -> list[MessageRow]:
        path: list[MessageRow] = []
        while tip is not None:
            path.append(tip)
            tip = self._parents[tip.id]
        return path[::-1]

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

    def _add(self, conversation_id: UUID, **columns: Any) -> MessageRow:
        """Write a message behind the last one of the path."""
        conversation = self._conversations[conversation_id]
        rows, tip = self.messages[conversation_id], self._tips[conversation_id]
        seq, last = conversation.last_seq + 1, conversation.last_branch
        branch = last + 1 if rows and tip is not rows[-1] else last
        common = {
            "conversation_id": conversation_id, "user_id": conversation.user_id, "seq": seq,
            "is_summary": False, "created_at": moment(now()), "branch": branch,
            "generated_code": None,
        }  # fmt: skip
        row = MessageRow(**common | {k: v for k, v in columns.items() if v is not None})
        self._parents[row.id], self._tips[conversation_id] = tip, row
        rows.append(row)
        moved = {"last_seq": seq, "active_branch": branch, "last_branch": branch}
        self._conversations[conversation_id] = conversation.model_copy(update=moved)
        return row
