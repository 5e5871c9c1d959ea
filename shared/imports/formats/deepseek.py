"""DeepSeek's conversations.json: a tree like ChatGPT's, whose messages are made of fragments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..attached import media_kind
from ..blocks import add_citations
from ..nodes import Node
from ..parsed import as_object, as_objects, as_text, source_id
from ..said import Said
from ..tree import flatten

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation


def is_deepseek(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a conversation of DeepSeek's."""
    return "inserted_at" in entry and "mapping" in entry


def read_deepseek(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the conversation; its active path leads to the newest message."""
    mapping = as_object(entry.get("mapping"))
    nodes = [_node(key, as_object(value), notes) for key, value in mapping.items()]
    return notes.conversation(
        "deepseek",
        source_id(entry, "id"),
        entry.get("title"),
        flatten(nodes, as_text(entry.get("current_node")), source="deepseek", notes=notes),
        created_at=entry.get("inserted_at"),
    )


def _node(key: str, value: dict[str, Any], notes: Notes) -> Node:
    children = value.get("children")
    node = Node(key, as_text(value.get("parent")), "hidden")
    node.children = children if isinstance(children, list) else ()
    message = value.get("message")
    if not isinstance(message, dict):
        return node
    node.at = notes.moment(message.get("inserted_at"))
    node.said, node.role = _read(message)
    node.kind = "message" if node.said else "hidden"
    node.left_out = None if node.said else "empty"
    return node


def _read(message: dict[str, Any]) -> tuple[Said, str]:
    said = Said()
    role = str(message.get("role") or "assistant").lower()
    said.think(message.get("reasoning_content"))
    said.say(message.get("content"))
    for fragment in as_objects(message.get("fragments")):
        kind, words = str(fragment.get("type")).upper(), fragment.get("content")
        if kind in {"REQUEST", "RESPONSE"}:
            role = "user" if kind == "REQUEST" else "assistant"
            said.say(words)
        elif kind == "THINK":
            said.think(words)
        else:
            said.step(type=kind.lower(), content=words, results=fragment.get("results"))
            add_citations(said, fragment.get("results"))
    for file in as_objects(message.get("files")):
        name = file.get("file_name") or file.get("name")
        mark = said.attach(media_kind(None, name), name)
        if not said.texts:
            said.say(mark)
    model = as_text(message.get("model"))
    said.more = {"model": model} if model and role != "user" else {}
    return said, "user" if role == "user" else "assistant"
