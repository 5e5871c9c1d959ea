"""ChatGPT's conversations.json: a tree of messages for each conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..nodes import Node
from ..parsed import as_object, as_text, source_id
from ..tree import flatten
from .chatgpt_content import read_message

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation
    from ..said import Said

CONTEXT_TYPES: Final = frozenset({"user_editable_context", "model_editable_context"})
CUT_STATUS: Final = frozenset({"in_progress", "finished_partial_completion"})
KEPT: Final = (
    "gizmo_id", "gizmo_type", "default_model_slug", "conversation_template_id", "plugin_ids",
    "is_starred", "memory_scope", "voice", "async_status",
)  # fmt: skip


def is_chatgpt(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a conversation of ChatGPT's."""
    return "mapping" in entry


def read_chatgpt(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the conversation; its active path leads to the current node."""
    mapping = as_object(entry.get("mapping"))
    nodes = [_node(key, as_object(value), notes) for key, value in mapping.items()]
    thread = flatten(nodes, as_text(entry.get("current_node")), source="chatgpt", notes=notes)
    updated_at = notes.moment(entry.get("update_time"))
    return notes.conversation(
        "chatgpt",
        source_id(entry, "conversation_id", "id"),
        entry.get("title"),
        thread,
        created_at=entry.get("create_time"),
        archived_at=(updated_at or notes.now) if entry.get("is_archived") is True else None,
        more={name: entry.get(name) for name in KEPT},
    )


def _node(key: str, value: dict[str, Any], notes: Notes) -> Node:
    children = value.get("children")
    node = Node(key, as_text(value.get("parent")), "hidden")
    node.children = children if isinstance(children, list) else ()
    message = value.get("message")
    if isinstance(message, dict):
        _read(node, message, notes)
    return node


def _read(node: Node, message: dict[str, Any], notes: Notes) -> None:
    """Fill a node with its message: shown, a step on the way, or text for the AI alone."""
    role = str(as_object(message.get("author")).get("role"))
    metadata = as_object(message.get("metadata"))
    node.at = notes.moment(message.get("create_time"))
    node.said, is_step = read_message(message, role)
    node.said.more |= _details(metadata)
    node.said.is_cut = role == "assistant" and (
        as_text(message.get("status")) in CUT_STATUS or _was_stopped(metadata)
    )
    is_hidden = metadata.get("is_visually_hidden_from_conversation") is True
    kind = as_text(as_object(message.get("content")).get("content_type"))
    if role == "system" or metadata.get("is_user_system_message") or kind in CONTEXT_TYPES:
        notes.system.extend(node.said.texts)
    elif not node.said:
        node.left_out = None if is_hidden else "empty"
    elif is_step or is_hidden or role not in {"user", "assistant", "tool"}:
        node.kind = "step"
        if not is_step:
            _put_aside(node.said, role, "hidden" if is_hidden else "unknown role")
    else:
        node.kind = "message"
        node.role = "user" if role == "user" else "assistant"


def _put_aside(said: Said, role: str, kind: str) -> None:
    """Make a step of what nobody was shown."""
    said.step(type=kind, role=role, content="\n\n".join(said.texts))
    said.texts = []


def _was_stopped(metadata: dict[str, Any]) -> bool:
    details = as_text(as_object(metadata.get("finish_details")).get("type"))
    return details in {"interrupted", "max_tokens"}


def _details(metadata: dict[str, Any]) -> dict[str, Any]:
    model = as_text(metadata.get("model_slug"))
    return {"model": model} if model else {}
