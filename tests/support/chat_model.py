"""What a plain model knows of one user's chats, and what must hold of the store beside it."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

BEGUN = "Begun. "
INTERRUPTED = "The reply was interrupted before it was complete."
STOPPED = "The reply was stopped."
NOTHING = str(uuid.UUID(int=0))


def reply_to(request: str, before: int) -> str:
    """Return what the engine says to a request after so many messages."""
    return f"{BEGUN}After {before}: {request}"


@dataclass(eq=False)
class Turn:
    """A request as the model knows it: running, perhaps behind a gate, or settled with a reply."""

    key: str
    body: dict[str, Any]
    chat: "Chat"
    id: str = ""
    before: int = 0  # messages, as the AI is given them
    status: str = "running"
    attempt: int = 1
    is_expired: bool = False
    gate: asyncio.Event | None = None
    reply: dict[str, Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it keeps others out of its conversation."""
        return self.status == "running" and not self.is_expired

    def settle(self, status: str, content: str) -> None:
        """End it, with this as the reply."""
        self.status, self.is_expired = status, False
        self.chat.messages.append(("assistant", content))


@dataclass(eq=False)
class Chat:
    """A conversation as the model knows it, and the rows that were acknowledged to the user."""

    id: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_deleted: bool = False

    @property
    def running(self) -> Turn | None:
        """The turn that is not settled."""
        return next((turn for turn in self.turns if turn.status == "running"), None)


def page_of(
    total: int, limit: int, *, before: int | None = None, after: int | None = None
) -> tuple[int, int]:
    """Return where a page begins and ends among so many messages."""
    if after is not None:
        first = min(after, total)
        return first, min(first + limit, total)
    last = total if before is None else max(min(before - 1, total), 0)
    return max(last - limit, 0), last


# What is wrong in the store, for one user; each finds nothing.
BROKEN = {
    "seq is 1 to last_seq": """
        select c.id, c.last_seq, array_agg(m.seq order by m.seq)
        from conversations as c join messages as m on m.conversation_id = c.id
        where c.user_id = %s group by c.id
        having array_agg(m.seq order by m.seq)
            <> array(select generate_series(1, c.last_seq))""",
    "created_at grows with seq": """
        select id from (
            select id, user_id, created_at,
                lag(created_at) over (partition by conversation_id order by seq) as before
            from messages) as m
        where user_id = %s and created_at <= before""",
    "an owner is its conversation's": """
        select m.id from messages as m join conversations as c on c.id = m.conversation_id
        where m.user_id <> c.user_id and %s in (m.user_id::text, c.user_id::text)
        union all
        select t.id from turns as t join conversations as c on c.id = t.conversation_id
        where t.user_id <> c.user_id""",
    "a settled turn has one reply, a running one none": """
        select t.id, t.status, count(m.id)
        from turns as t
        left join messages as m on m.turn_id = t.id and m.role = 'assistant'
        where t.user_id = %s group by t.id
        having count(m.id) <> case t.status when 'running' then 0 else 1 end""",
    "a turn has one user message": """
        select t.id, count(m.id)
        from turns as t left join messages as m on m.turn_id = t.id and m.role = 'user'
        where t.user_id = %s group by t.id
        having count(m.id) <> 1""",
}
