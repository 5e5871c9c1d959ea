"""ChatGPT's conversations.json: a tree of messages for each conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.imports.parsed import ParsedConversation, fitting_title, moment_of
from shared.imports.tree import Node, flatten

if TYPE_CHECKING:
    from datetime import datetime

# What the model read or thought on its way, rather than said.
STEP_TYPES: Final = frozenset(
    {
        "thoughts",
        "reasoning_recap",
        "execution_output",
        "tether_quote",
        "tether_browsing_display",
        "tether_browsing_code",
        "system_error",
    }
)
CONTEXT_TYPES: Final = frozenset({"user_editable_context", "model_editable_context"})
TEXT_FIELDS: Final = ("text", "result", "content", "summary")


def read_chatgpt(conversation: dict[str, Any], now: datetime, source_id: str) -> ParsedConversation:
    """Return a conversation as a draft: the path to its current node."""
    mapping = _object(conversation.get("mapping"))
    nodes = [_node(key, _object(value), now) for key, value in mapping.items()]
    messages, left_out = flatten(
        nodes, _text_or_none(conversation.get("current_node")), source="chatgpt"
    )
    updated_at = moment_of(conversation.get("update_time"), now)
    return ParsedConversation(
        source_id=source_id,
        title=fitting_title(conversation.get("title"), messages),
        messages=messages,
        created_at=moment_of(conversation.get("create_time"), now),
        archived_at=(updated_at or now) if conversation.get("is_archived") is True else None,
        left_out=left_out,
    )


def _node(key: str, value: dict[str, Any], now: datetime) -> Node:
    parent = _text_or_none(value.get("parent"))
    message = value.get("message")
    if not isinstance(message, dict):
        return Node(key, parent, "hidden")
    content = _object(message.get("content"))
    role = str(_object(message.get("author")).get("role"))
    at = moment_of(message.get("create_time"), now)
    text = content_text(content)
    if reason := _why_hidden(message, content, role, text):
        return Node(key, parent, "hidden", at=at, left_out=reason)
    is_step = role == "tool" or _is_for_a_tool(message) or _type(content) in STEP_TYPES
    details = _details(message, content, is_step=is_step)
    return Node(key, parent, "step" if is_step else "message", role, text, at, details)


def _why_hidden(
    message: dict[str, Any], content: dict[str, Any], role: str, text: str
) -> str | None:
    """Say why a message is no part of the conversation that its user saw."""
    metadata = _object(message.get("metadata"))
    if role == "system" or metadata.get("is_user_system_message"):
        return "system"
    if metadata.get("is_visually_hidden_from_conversation") or _type(content) in CONTEXT_TYPES:
        return "hidden"
    if role not in {"user", "assistant", "tool"}:
        return "unknown role"
    return None if text.strip() else "empty"


def _is_for_a_tool(message: dict[str, Any]) -> bool:
    return message.get("recipient") not in {None, "all"}


def content_text(content: dict[str, Any]) -> str:
    """Return what a message of any type says; what is no text is named in brackets."""
    parts = content.get("parts")
    if isinstance(parts, list):
        return "\n\n".join(filter(None, map(_part_text, parts)))
    if _type(content) == "thoughts":
        thoughts = content.get("thoughts")
        found = thoughts if isinstance(thoughts, list) else []
        return "\n\n".join(filter(None, (content_text(_object(thought)) for thought in found)))
    text = next((content[name] for name in TEXT_FIELDS if isinstance(content.get(name), str)), "")
    if _type(content) == "code" and text:
        language = str(content.get("language") or "")
        return f"```{language if language.isalnum() and language != 'unknown' else ''}\n{text}\n```"
    return str(text)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text = part.get("text")
    if isinstance(text, str):
        return text
    return f"[{_type(part).removesuffix('_asset_pointer').replace('_', ' ') or 'attachment'}]"


def _details(message: dict[str, Any], content: dict[str, Any], *, is_step: bool) -> dict[str, Any]:
    metadata = _object(message.get("metadata"))
    parts = content.get("parts")
    pointers = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    attached = metadata.get("attachments")
    details = {
        "model": _text_or_none(metadata.get("model_slug")),
        "attachments": [*pointers, *(attached if isinstance(attached, list) else [])] or None,
        "type": _type(content) if is_step else None,
    }
    return {name: value for name, value in details.items() if value is not None}


def _type(content: dict[str, Any]) -> str:
    return str(content.get("content_type") or "")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
