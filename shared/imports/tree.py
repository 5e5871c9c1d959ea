"""A conversation that is a tree, as the providers keep it: one path is taken, the rest kept aside.

Walks without recursion, and comes to an end on any input: parents that aren't there, parents that
go in a circle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.imports.parsed import ParsedMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Node:
    """A place in the tree: a message, a step on the way to one, or nothing to be shown."""

    id: str
    parent: str | None
    kind: Literal["message", "step", "hidden"]
    role: str = "assistant"
    content: str = ""
    at: datetime | None = None
    details: dict[str, Any] = field(default_factory=dict)
    left_out: str | None = None


def flatten(
    nodes: Sequence[Node], leaf: str | None, *, source: str
) -> tuple[list[ParsedMessage], Counter[str]]:
    """Return the messages on the path to a leaf, and counts of what was left out, by why.

    Without a leaf that is there, the path is the one to the newest. Steps go into the metadata of
    the message that they led to, other branches into that of the message they part from.
    """
    by_id = {node.id: node for node in nodes}
    path = path_to(by_id[leaf] if leaf in by_id else newest_leaf(nodes), by_id)
    drafts: list[ParsedMessage] = []
    place_of: dict[str, int] = {}  # of each node on the path: the last message up to it
    steps: list[dict[str, Any]] = []
    for node in path:
        if node.kind == "step":
            steps.append(_aside(node))
        elif node.kind == "message":
            drafts.append(_draft(node, source, steps))
            steps = []
        place_of[node.id] = len(drafts) - 1
    if drafts and steps:
        _noted(drafts[-1]).setdefault("steps", []).extend(steps)
    _keep_branches(nodes, by_id, place_of, drafts)
    return drafts, Counter(node.left_out for node in path if node.left_out)


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


def _keep_branches(
    nodes: Sequence[Node],
    by_id: dict[str, Node],
    place_of: dict[str, int],
    drafts: list[ParsedMessage],
) -> None:
    """Put what isn't on the path aside, at the message that it parts from."""
    if not drafts:
        return
    places = dict(place_of)
    for node in nodes:
        if node.id in place_of or node.kind == "hidden":
            continue
        place = max(_place(node, by_id, places), 0)
        _noted(drafts[place]).setdefault("branches", []).append(_aside(node))


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
    return {
        "id": node.id,
        "parent": node.parent,
        "role": node.role,
        "content": node.content,
        "at": None if node.at is None else node.at.isoformat(),
        **node.details,
    }


def _draft(node: Node, source: str, steps: list[dict[str, Any]]) -> ParsedMessage:
    noted = {"source": source, "id": node.id, **node.details}
    if node.at is not None:
        noted["at"] = node.at.isoformat()
    if steps:
        noted["steps"] = steps
    return ParsedMessage(node.role, node.content, node.at, {"imported": noted})


def _noted(draft: ParsedMessage) -> dict[str, Any]:
    noted: dict[str, Any] = draft.metadata["imported"]
    return noted
