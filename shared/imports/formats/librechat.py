"""LibreChat's export of a conversation: its messages as a tree, or one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..nodes import TOP, Node
from ..parsed import as_object, as_objects, as_text, source_id
from ..tree import flatten
from .messages import read_message

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation

ABOVE_THE_FIRST: Final = "00000000-0000-0000-0000-000000000000"
TREE: Final = (
    "messageId", "parentMessageId", "conversationId", "children", "sender", "isCreatedByUser",
    "__v", "_id", "user", "updatedAt", "unfinished", "tokenCount",
)  # fmt: skip


def is_librechat(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a conversation of LibreChat's."""
    return any("isCreatedByUser" in row for row in as_objects(entry.get("messages"))[:5])


def read_librechat(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the conversation; its active path leads to the newest message."""
    rows = notes.objects(entry.get("messages"))
    nodes = _tree(rows, notes) if any("children" in row for row in rows) else _list(rows, notes)
    options = as_object(entry.get("options"))
    return notes.conversation(
        "librechat",
        source_id(entry, "conversationId"),
        entry.get("title"),
        flatten(nodes, None, source="librechat", notes=notes),
        created_at=entry.get("createdAt"),
        more={
            "endpoint": as_text(entry.get("endpoint")),
            "model": as_text(options.get("model")) or as_text(entry.get("model")),
            "system": as_text(options.get("promptPrefix")),
        },
    )


def _tree(rows: list[dict[str, Any]], notes: Notes) -> list[Node]:
    """Walk the tree level by level: it may be as deep as the conversation is long."""
    nodes: list[Node] = []
    known: set[str] = set()
    level: list[tuple[str, dict[str, Any]]] = [(TOP, row) for row in rows]
    while level:
        below: list[tuple[str, dict[str, Any]]] = []
        for parent, row in level:
            key = _key_of(row, nodes, known)
            nodes.append(_node(key, parent, row, notes))
            below += [(key, child) for child in as_objects(row.get("children"))]
        level = below
    return nodes


def _list(rows: list[dict[str, Any]], notes: Notes) -> list[Node]:
    """Return the messages with the parents they name; without any, each follows the one before."""
    is_tree = any(as_text(row.get("parentMessageId")) for row in rows)
    nodes: list[Node] = []
    known: set[str] = set()
    for row in rows:
        key = _key_of(row, nodes, known)
        before = nodes[-1].id if nodes else TOP
        parent = as_text(row.get("parentMessageId")) if is_tree else before
        nodes.append(_node(key, TOP if parent == ABOVE_THE_FIRST else parent, row, notes))
    return nodes


def _key_of(row: dict[str, Any], nodes: list[Node], known: set[str]) -> str:
    """Return a message's id; of several with one id, each gets one of its own."""
    given = as_text(row.get("messageId")) or ""
    key = given if given and given not in known else f"{given}#{len(nodes)}"
    known.add(key)
    return key


def _node(key: str, parent: str | None, row: dict[str, Any], notes: Notes) -> Node:
    role = "user" if row.get("isCreatedByUser") is True else "assistant"
    known = {name: value for name, value in row.items() if name not in TREE}
    node = read_message({**known, "role": role}, key, notes)
    node.parent = parent
    if row.get("unfinished") is True:
        node.said.is_cut = True
    return node
