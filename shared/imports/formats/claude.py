"""Claude's conversations.json: a list of messages for each conversation, with its branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.imports.parsed import ParsedConversation, fitting_title, moment_of
from shared.imports.tree import Node, flatten

if TYPE_CHECKING:
    from datetime import datetime

ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant"}
BLOCK_TEXTS: Final = ("text", "thinking", "content", "message")


def read_claude(conversation: dict[str, Any], now: datetime, source_id: str) -> ParsedConversation:
    """Return a conversation as a draft: the path to its current leaf, else to the newest."""
    told = conversation.get("chat_messages")
    rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
    nodes = _nodes(rows, now)
    leaf = conversation.get("current_leaf_message_uuid")
    messages, left_out = flatten(nodes, leaf if isinstance(leaf, str) else None, source="claude")
    return ParsedConversation(
        source_id=source_id,
        title=fitting_title(conversation.get("name"), messages),
        messages=messages,
        created_at=moment_of(conversation.get("created_at"), now),
        left_out=left_out,
    )


def _nodes(rows: list[dict[str, Any]], now: datetime) -> list[Node]:
    """Return a node for each message. Without any parents the list is the path.

    Another message of the same id gets one of its own; the same one again is left out.
    """
    is_tree = any(isinstance(row.get("parent_message_uuid"), str) for row in rows)
    nodes: list[Node] = []
    known: dict[str, dict[str, Any]] = {}
    for place, row in enumerate(rows):
        uuid = row.get("uuid")
        key = uuid if isinstance(uuid, str) else f"#{place}"
        if known.setdefault(key, row) is not row:
            if known[key] == row:
                continue
            key = f"{key}#{place}"
        before = nodes[-1].id if nodes else None
        parent = row.get("parent_message_uuid") if is_tree else before
        nodes.append(_node(key, parent, row, now))
    return nodes


def _node(key: str, parent: Any, row: dict[str, Any], now: datetime) -> Node:
    above = parent if isinstance(parent, str) else None
    at = moment_of(row.get("created_at"), now)
    role = ROLES.get(str(row.get("sender")))
    if role is None:
        return Node(key, above, "hidden", at=at, left_out="unknown role")
    text = message_text(row)
    if not text.strip():
        return Node(key, above, "hidden", at=at, left_out="empty")
    return Node(key, above, "message", role, text, at, _details(row))


def message_text(row: dict[str, Any]) -> str:
    """Return what a message says: its text blocks, else its text, else what is attached."""
    texts = [block["text"] for block in _blocks(row) if _says(block)]
    if any(text.strip() for text in texts):
        return "\n\n".join(texts)
    text = row.get("text")
    if isinstance(text, str) and text.strip():
        return text
    return "\n\n".join(filter(None, map(_attached_text, _attachments(row))))


def _says(block: dict[str, Any]) -> bool:
    return block.get("type") == "text" and isinstance(block.get("text"), str)


def _attached_text(attachment: dict[str, Any]) -> str:
    extracted = attachment.get("extracted_content")
    if isinstance(extracted, str) and extracted.strip():
        return extracted
    name = attachment.get("file_name")
    return f"[{name}]" if isinstance(name, str) and name else ""


def _details(row: dict[str, Any]) -> dict[str, Any]:
    steps = [_step(block) for block in _blocks(row) if block.get("type") != "text"]
    attachments = _attachments(row)
    details = {"blocks": steps, "attachments": attachments}
    return {name: value for name, value in details.items() if value}


def _step(block: dict[str, Any]) -> dict[str, Any]:
    kept = ("type", "name", "input", *BLOCK_TEXTS)
    return {name: block[name] for name in kept if block.get(name) is not None}


def _blocks(row: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(row.get("content"))


def _attachments(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [*_objects(row.get("attachments")), *_objects(row.get("files"))]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
