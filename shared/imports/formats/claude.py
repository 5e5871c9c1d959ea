"""Claude's conversations.json: a list of messages for each conversation, with its branches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..attached import media_kind
from ..blocks import read_blocks
from ..nodes import TOP, Node
from ..parsed import as_object, as_objects, as_text, source_id
from ..said import Said, fenced
from ..tree import flatten
from .claude_artifacts import Artifacts

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation

ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant"}
ABOVE_THE_FIRST: Final = "00000000-0000-4000-8000-000000000000"
NOT_SHOWN: Final = re.compile(
    r"(?:```\n)?This block is not supported on your current device yet\.\n?(?:```)?"
)
CUT: Final = frozenset({"user_canceled", "max_tokens"})


def is_claude(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a conversation of Claude's."""
    return "chat_messages" in entry


def read_claude(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the conversation; its active path leads to the current leaf, else to the newest."""
    nodes = _nodes(notes.objects(entry.get("chat_messages")), notes)
    leaf = as_text(entry.get("current_leaf_message_uuid"))
    project = as_object(entry.get("project"))
    return notes.conversation(
        "claude",
        source_id(entry, "uuid"),
        entry.get("name"),
        flatten(nodes, leaf, source="claude", notes=notes),
        created_at=entry.get("created_at"),
        more={
            "model": as_text(entry.get("model")),
            "summary": as_text(entry.get("summary")),
            "project": as_text(project.get("name")),
        },
    )


def _nodes(rows: list[dict[str, Any]], notes: Notes) -> list[Node]:
    """Return a node for each message. Without any parents the list is the path.

    Another message of the same id gets one of its own; the same one again is left out.
    """
    is_tree = any(isinstance(row.get("parent_message_uuid"), str) for row in rows)
    nodes: list[Node] = []
    known: dict[str, dict[str, Any]] = {}
    artifacts = Artifacts()
    for place, row in enumerate(rows):
        key = as_text(row.get("uuid")) or f"#{place}"
        if known.setdefault(key, row) is not row:
            if known[key] == row:
                continue
            key = f"{key}#{place}"
        before = nodes[-1].id if nodes else None
        parent = as_text(row.get("parent_message_uuid")) if is_tree else before
        nodes.append(
            _node(key, TOP if parent == ABOVE_THE_FIRST else parent, row, notes, artifacts)
        )
    return nodes


def _node(
    key: str, parent: str | None, row: dict[str, Any], notes: Notes, artifacts: Artifacts
) -> Node:
    node = Node(key, parent, "message", ROLES.get(str(row.get("sender")), ""))
    node.at = notes.moment(row.get("created_at"))
    node.said = _said(row, artifacts)
    if not node.said:
        node.kind, node.left_out = "hidden", "empty"
    elif not node.role:
        node.kind = "step"
        node.said.step(type="unknown role", role=row.get("sender"), content=node.said.content())
        node.said.texts = []
    elif node.role == "assistant" and not node.said.is_shown:
        node.said.is_cut = True
    return node


def _said(row: dict[str, Any], artifacts: Artifacts) -> Said:
    said = Said()
    read_blocks(row.get("content") or [], said, use_tool=artifacts.use)
    if not said.texts:
        said.say(as_text(row.get("text")))
    said.reword(_shown)
    artifacts.take_tags(said)
    for attached in (*as_objects(row.get("attachments")), *as_objects(row.get("files"))):
        _attach(attached, said)
    if as_text(row.get("stop_reason")) in CUT:
        said.is_cut = True
    return said


def _shown(text: str) -> str:
    return NOT_SHOWN.sub("", text).strip() if "This block is not supp" in text else text


def _attach(attached: dict[str, Any], said: Said) -> None:
    """Add an attachment; its text is part of what was said, since the AI read it."""
    name = as_text(attached.get("file_name")) or as_text(attached.get("name"))
    words = as_text(attached.get("extracted_content")) or ""
    is_all = not said.texts
    mark = said.attach(media_kind(None, name), name)
    if words.strip():
        said.say(words if is_all else f"{name or 'Attached text'}:\n\n{fenced(words)}")
    elif is_all:
        said.say(mark)
