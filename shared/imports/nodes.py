"""The places of a conversation that is a tree, and the links between them, repaired.

Walks without recursion, and comes to an end on any input: parents that aren't there, parents that
go in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from .said import Said

if TYPE_CHECKING:
    from collections.abc import Sequence

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
