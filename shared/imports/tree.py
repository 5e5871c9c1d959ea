"""A conversation that is a tree, as the providers keep it: its messages in order, and branches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import chain as in_a_row
from typing import TYPE_CHECKING, Final

from .nodes import LONG_AGO, NO_ID, newest_leaf, path_to, repaired
from .parsed import Fork, ParsedMessage, Thread
from .said import Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .nodes import Node
    from .parsed import Notes

MAX_FORKS: Final = 1_000  # which a page of the conversation reads in a moment


@dataclass(slots=True)
class _Assembled:
    """A message: its node, what its steps and itself say, and the message that it follows."""

    node: Node
    role: str
    said: Said
    above: _Assembled | None = None
    branch: int = 0


def flatten(nodes: Sequence[Node], leaf: str | None, *, source: str, notes: Notes) -> Thread:
    """Return all messages in the order they were written, and which path is the active one.

    That is the path to a leaf, else to the newest message. Steps belong to the reply that they led
    to, or are one where there is none.
    """
    by_id = repaired(nodes)
    growth = _Growth(nodes, by_id)
    path = path_to(by_id.get(leaf or ""), by_id)
    active = growth.take(path)
    if not active:
        newest = newest_leaf([node for node in nodes if node.kind == "message"] or nodes)
        active = growth.take(path_to(newest, by_id))
    growth.take_rest()
    written = _in_order(growth.assembled)
    forks = _forked(written, active[-1] if active else None)
    notes.left_out.update(node.left_out for node in nodes if node.left_out)
    if len(forks) > MAX_FORKS:
        written = _on_two_branches(written, active)
        forks = _forked(written, active[-1])
    if forks:
        notes.kept["branch"] += len(forks)
    return _thread(written, source, notes, forks=forks, active=active)


def chain(nodes: Sequence[Node], *, source: str, notes: Notes) -> Thread:
    """Return the messages of nodes that follow each other as they stand."""
    assembled, _ = _assembled(nodes)
    notes.left_out.update(node.left_out for node in nodes if node.left_out)
    return _thread(assembled, source, notes)


class _Growth:
    """The messages of a tree, put together a stretch at a time."""

    def __init__(self, nodes: Sequence[Node], by_id: dict[str, Node]) -> None:
        self.assembled: list[_Assembled] = []
        self._nodes = nodes
        self._below: dict[str | None, list[Node]] = {}
        self._message_at: dict[str, _Assembled | None] = {}  # the nearest, from each node up
        for node in nodes:
            self._below.setdefault(node.parent if node.parent in by_id else None, []).append(node)

    def take(self, stretch: Sequence[Node]) -> list[_Assembled]:
        """Put together the messages of nodes that follow each other; return them."""
        if not stretch:
            return []
        before = self._message_at.get(stretch[0].parent or "")
        messages, place_of = _assembled(stretch)
        for above, message in zip([before, *messages], messages, strict=False):
            message.above = above
        for node in stretch:
            place = place_of[node.id]
            self._message_at[node.id] = before if place < 0 else messages[place]
        self.assembled += messages
        return messages

    def take_rest(self) -> None:
        """Take each node that wasn't taken yet: from each fork on, then what is in a circle."""
        taken = [node for node in self._nodes if node.id in self._message_at]
        forks = (self._below.get(node.id, ()) for node in taken)
        waiting = deque([*self._below.get(None, ()), *in_a_row.from_iterable(forks), *self._nodes])
        while waiting:
            node = waiting.popleft()
            if node.id not in self._message_at:
                self.take(self._stretch(node, waiting))

    def _stretch(self, top: Node, waiting: deque[Node]) -> list[Node]:
        """Return a node and what follows, always the first; others are the next to be taken."""
        stretch: dict[str, Node] = {}
        node: Node | None = top
        while node is not None:
            stretch[node.id] = node
            below = [
                child
                for child in self._below.get(node.id, ())
                if child.id not in self._message_at and child.id not in stretch
            ]
            waiting.extendleft(reversed(below[1:]))
            node = below[0] if below else None
        return list(stretch.values())


def _assembled(path: Sequence[Node]) -> tuple[list[_Assembled], dict[str, int]]:
    """Put messages together; return for each node of the path the place of its message too."""
    messages: list[_Assembled] = []
    place_of: dict[str, int] = {}
    steps: _Assembled | None = None
    for node in path:
        if node.kind == "message" and node.role == "user":
            _settle(steps, messages)
            steps = None
            messages.append(_Assembled(node, "user", node.said))
        elif node.kind != "hidden":
            steps = steps or _Assembled(node, "assistant", Said())
            steps.said.add(node.said)
            if node.kind == "message":
                messages.append(_Assembled(node, "assistant", steps.said))
                steps = None
        place_of[node.id] = len(messages) - 1
    _settle(steps, messages)
    return messages, place_of


def _settle(steps: _Assembled | None, messages: list[_Assembled]) -> None:
    """Add steps that no message followed to the reply before them, else as a reply."""
    if steps is None or not steps.said:
        return
    if messages and messages[-1].role == "assistant":
        said = messages[-1].said
        steps.said.is_cut |= said.is_cut
        said.add(steps.said)
    else:
        steps.said.is_cut = steps.said.is_cut or not steps.said.is_shown
        messages.append(steps)


def _in_order(assembled: Sequence[_Assembled]) -> list[_Assembled]:
    """Return the messages by time, each behind the one that it follows, which may say a later one.

    Without times they stand as they were put together: the active path first.
    """
    below: dict[int, list[tuple[int, _Assembled]]] = {}
    for place, one in enumerate(assembled):
        below.setdefault(id(one.above) if one.above else 0, []).append((place, one))
    written: list[_Assembled] = []
    waiting = [(one.node.at or LONG_AGO, place, one) for place, one in below.get(0, ())]
    heapify(waiting)
    while waiting:
        moment, _, one = heappop(waiting)
        written.append(one)
        for place, next_one in below.get(id(one), ()):
            heappush(waiting, (max(moment, next_one.node.at or moment), place, next_one))
    return written


def _forked(written: Sequence[_Assembled], end: _Assembled | None) -> list[_Assembled]:
    """Number the branches; return the first message of each but branch 0.

    One begins with whatever doesn't follow the message before it, and behind the active path's end.
    """
    forks: list[_Assembled] = []
    before: _Assembled | None = None
    for one in written:
        if one.above is not before or (before is not None and before is end):
            forks.append(one)
        one.branch = len(forks)
        before = one
    return forks


def _on_two_branches(
    written: Sequence[_Assembled], active: Sequence[_Assembled]
) -> list[_Assembled]:
    """Return the active path, and behind it all that isn't on it: each names what it follows."""
    on_path = set(map(id, active))
    rest = [one for one in written if id(one) not in on_path]
    for above, one in zip([None, *rest], rest, strict=False):
        one.said.more |= {"parent": one.above.node.id} if one.above else {}
        one.above = above
    return [*active, *rest]


def _thread(
    assembled: Sequence[_Assembled],
    source: str,
    notes: Notes,
    *,
    forks: Sequence[_Assembled] = (),
    active: Sequence[_Assembled] = (),
) -> Thread:
    """Return the messages; note what is kept beside their words."""
    messages = {id(one): _message(one, source) for one in assembled}
    for one in assembled:
        notes.kept.update(one.said.kinds())
    return Thread(
        list(messages.values()),
        [
            Fork(one.above.branch, messages[id(one.above)]) if one.above else Fork(0, None)
            for one in forks
        ],
        active[-1].branch if active else 0,
    )


def _message(one: _Assembled, source: str) -> ParsedMessage:
    node, said = one.node, one.said
    beside = {
        "id": None if node.id.startswith(NO_ID) else node.id,
        "at": None if node.at is None else node.at.isoformat(),
        "steps": said.all_steps(),
    }
    imported = {"source": source, **said.more}
    imported |= {name: value for name, value in beside.items() if value}
    metadata = {**said.metadata(), "imported": imported}
    return ParsedMessage(
        one.role,
        said.content(),
        node.at,
        metadata,
        said.generated_code(),
        said.parts(f"{source} {node.id}"),
        branch=one.branch,
    )
