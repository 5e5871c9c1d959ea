"""What a plain model knows of one user's chats, and what must hold of the store beside it."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.support.branch_model import Node, Tree

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
    asked: Node = field(init=False)  # the message that it answers
    status: str = "running"
    attempt: int = 1
    is_expired: bool = False
    gate: asyncio.Event | None = None
    reply: dict[str, Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it keeps others out of its conversation."""
        return self.status == "running" and not self.is_expired

    @property
    def whole_reply(self) -> str:
        """What the engine says to it: of what came before its message on the path to that."""
        return reply_to(self.asked.content, len(self.chat.tree.path_to(self.asked.parent)))

    def settle(self, status: str, content: str) -> None:
        """End it, with this as the reply."""
        self.status, self.is_expired = status, False
        tree = self.chat.tree
        tree.add("", "assistant", tree.tip, answers=self.asked, content=content)


@dataclass(eq=False)
class Chat:
    """A conversation as the model knows it, and the rows that were acknowledged to the user."""

    id: str = ""
    tree: Tree = field(default_factory=Tree)
    turns: list[Turn] = field(default_factory=list)
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_deleted: bool = False

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Those of all branches, in the order of writing."""
        return [(node.role, node.content) for node in self.tree.nodes]

    def begin(self, turn: Turn, beside: Node | None) -> None:
        """Write the turn's message, beside the one that it edits, or answer one once more."""
        if "regenerates" in turn.body:
            assert beside is not None
            turn.asked = beside.answers or beside
            self.tree.tip = beside if beside.role == "user" else beside.parent
        else:
            parent = beside.parent if beside else self.tree.tip
            turn.asked = self.tree.add("", "user", parent, content=turn.body["request"])
        self.turns.append(turn)

    @property
    def running(self) -> Turn | None:
        """The turn that is not settled."""
        return next((turn for turn in self.turns if turn.status == "running"), None)


def page_of(
    tree: Tree, limit: int, *, before: int | None = None, after: int | None = None
) -> tuple[list[Node], bool, bool]:
    """Return a page of the active path, and whether there is something before and behind it."""
    last = len(tree.nodes)
    if after is not None:
        place = min(after, last) + 1
        shown = [node for node in tree.path if node.seq >= place][:limit]
    else:
        place = last + 1 if before is None else max(min(before, last + 1), 1)
        shown = [node for node in tree.path if node.seq < place][-limit:]
    first, behind = (shown[0].seq, shown[-1].seq + 1) if shown else (place, place)
    return (
        shown,
        any(node.seq < first for node in tree.path),
        any(node.seq >= behind for node in tree.path),
    )


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
    "a turn has one user message, one that regenerates none": """
        select t.id, count(m.id)
        from turns as t left join messages as m on m.turn_id = t.id and m.role = 'user'
        where t.user_id = %s group by t.id
        having count(m.id) <> case when t.answers is null then 1 else 0 end""",
}
