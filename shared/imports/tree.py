"""A conversation that is a tree, as the providers keep it: one path is taken, the rest kept aside.

Walks without recursion, and comes to an end on any input: parents that aren't there, parents that
go in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from .parsed import ParsedMessage
from .said import Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parsed import Notes

NO_ID: Final = "#"  # opens what stands for the id of a message that has none
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
TOP: Final = "\N{NULL}top"  # the parent of a node that is rightly the first; several are branches


@dataclass(slots=True)
class Node:
    """A place in the tree: a message, a step on the way to a reply, or nothing to be shown."""

    id: str
    parent: str | None
    kind: Literal["message", "step", "hidden"]
    role: str = "assistant"
    said: Said = field(default_factory=Said)
    at: datetime | None = None
    children: Sequence[Any] = ()
    left_out: str | None = None


@dataclass(slots=True)
class _Assembled:
    """A message: its node, what its steps and itself say, and what parts from it."""

    node: Node
    role: str
    said: Said
    branches: list[dict[str, Any]] = field(default_factory=list)


def flatten(
    nodes: Sequence[Node], leaf: str | None, *, source: str, notes: Notes
) -> list[ParsedMessage]:
    """Return the messages on the path to a leaf, else to the newest message.

    Steps belong to the reply that they led to, or are one where there is none; other branches are
    kept with the message they part from.
    """
    by_id = repaired(nodes)
    path = path_to(by_id.get(leaf or ""), by_id)
    assembled, place_of = _assembled(path)
    if not assembled:
        newest = newest_leaf([node for node in nodes if node.kind == "message"] or nodes)
        path = path_to(newest, by_id)
        assembled, place_of = _assembled(path)
    _keep_branches(nodes, by_id, place_of, assembled)
    return _messages(assembled, path, source, notes)


def chain(nodes: Sequence[Node], *, source: str, notes: Notes) -> list[ParsedMessage]:
    """Return the messages of nodes that follow each other as they stand."""
    assembled, _ = _assembled(nodes)
    return _messages(assembled, nodes, source, notes)


def repaired(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return the nodes by id, each with a parent that is there, but for the first.

    A parent that is missing is the node that names this one as its child, else the one that was
    written before it.
    """
    by_id = {node.id: node for node in nodes}
    for node in nodes:
        for child in node.children:
            known = by_id.get(child) if isinstance(child, str) else None
            if known is not None and known.parent not in by_id and known is not node:
                known.parent = node.id
    roots = _roots(nodes, by_id)
    previous: Node | None = None
    for node in _by_time(nodes):
        is_loose = node.parent not in by_id and node.parent != TOP
        if is_loose and previous is not None and roots[previous.id] != node.id:
            node.parent = previous.id
        previous = node
    return by_id


def _roots(nodes: Sequence[Node], by_id: dict[str, Node]) -> dict[str, str]:
    """Return for each node the one at the top of its tree."""
    roots: dict[str, str] = {}
    for node in nodes:
        path: list[str] = []
        above: Node | None = node
        while above is not None and above.id not in roots:
            path.append(above.id)
            roots[above.id] = above.id  # where a circle ends
            above = by_id.get(above.parent) if above.parent is not None else None
        top = path[-1] if above is None and path else roots[above.id] if above else node.id
        roots.update(dict.fromkeys(path, top))
    return roots


def _by_time(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes in the order they were written; without a time, behind the one before."""
    last = LONG_AGO
    moments = []
    for node in nodes:
        last = node.at or last
        moments.append(last)
    order = sorted(range(len(nodes)), key=lambda place: moments[place])
    return [nodes[place] for place in order]


def newest_leaf(nodes: Sequence[Node]) -> Node | None:
    """Return the newest node that nothing follows; the last of several, or of all in a circle."""
    parents = {node.parent for node in nodes}
    leaves = [node for node in nodes if node.id not in parents] or nodes
    return max(reversed(leaves), key=lambda node: node.at or LONG_AGO, default=None)


def path_to(node: Node | None, by_id: dict[str, Node]) -> list[Node]:
    """Return the nodes from the root to this one."""
    path: list[Node] = []
    seen: set[str] = set()
    while node is not None and node.id not in seen:
        seen.add(node.id)
        path.append(node)
        node = by_id.get(node.parent) if node.parent is not None else None
    return path[::-1]


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


def _keep_branches(
    nodes: Sequence[Node],
    by_id: dict[str, Node],
    place_of: dict[str, int],
    messages: list[_Assembled],
) -> None:
    """Put what isn't on the path aside, at the message that it parts from."""
    if not messages:
        return
    places = dict(place_of)
    for node in nodes:
        if node.id not in place_of and node.kind != "hidden":
            messages[max(_place(node, by_id, places), 0)].branches.append(_aside(node))


def _place(node: Node, by_id: dict[str, Node], places: dict[str, int]) -> int:
    """Return the place of the nearest node above that has one; remember it for all between."""
    climbed: list[str] = []
    above: Node | None = node
    while above is not None and above.id not in places:
        climbed.append(above.id)
        places[above.id] = -1  # where a circle ends
        above = by_id.get(above.parent) if above.parent is not None else None
    place = -1 if above is None else places[above.id]
    places.update(dict.fromkeys(climbed, place))
    return place


def _aside(node: Node) -> dict[str, Any]:
    said = node.said
    beside = {"generatedCode": said.generated_code(), "steps": said.steps, **said.more}
    return {
        "id": node.id,
        "parent": None if node.parent == TOP else node.parent,
        "role": node.role,
        "content": said.content() if said.is_shown else "",
        "at": None if node.at is None else node.at.isoformat(),
        **said.metadata(),
        **{name: value for name, value in beside.items() if value},
    }


def _messages(
    assembled: list[_Assembled], path: Sequence[Node], source: str, notes: Notes
) -> list[ParsedMessage]:
    """Return the messages; note what is kept beside their words, and what of the path is not."""
    notes.left_out.update(node.left_out for node in path if node.left_out)
    for one in assembled:
        notes.kept.update(one.said.kinds())
        notes.kept.update({"branch": len(one.branches)} if one.branches else {})
    return [_message(one, source) for one in assembled]


def _message(one: _Assembled, source: str) -> ParsedMessage:
    node, said = one.node, one.said
    beside = {
        "id": None if node.id.startswith(NO_ID) else node.id,
        "at": None if node.at is None else node.at.isoformat(),
        "steps": said.steps,
        "branches": one.branches,
    }
    imported = {"source": source, **said.more}
    imported |= {name: value for name, value in beside.items() if value}
    metadata = {**said.metadata(), "imported": imported}
    return ParsedMessage(one.role, said.content(), node.at, metadata, said.generated_code())
