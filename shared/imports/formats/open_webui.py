"""Open WebUI's export of chats: a history of messages with parents, or a plain list of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..nodes import TOP, Node
from ..parsed import as_object, as_text, source_id
from ..tree import chain, flatten
from .messages import read_message

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation, Thread

REASONING: Final = '<details type="reasoning"'
SUMMARY: Final = re.compile(r"<summary>[^<]*</summary>")
TREE: Final = ("id", "parentId", "childrenIds", "done", "lastSentence", "statusHistory")


def is_open_webui(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a chat of Open WebUI's."""
    return isinstance(entry.get("chat"), dict) or isinstance(entry.get("history"), dict)


def read_open_webui(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the chat; its active path leads to the current message."""
    chat = as_object(entry.get("chat")) or entry
    archived_at = notes.moment(entry.get("updated_at")) or notes.now
    return notes.conversation(
        "open-webui",
        source_id({**chat, **entry}, "id"),
        entry.get("title") or chat.get("title"),
        _thread(chat, notes),
        created_at=entry.get("created_at") or chat.get("timestamp"),
        archived_at=archived_at if entry.get("archived") is True else None,
        more={
            "models": chat.get("models"),
            "system": as_text(as_object(chat.get("params")).get("system")) or chat.get("system"),
            "tags": as_object(entry.get("meta")).get("tags") or chat.get("tags"),
        },
    )


def _thread(chat: dict[str, Any], notes: Notes) -> Thread:
    history = as_object(chat.get("history"))
    by_id = as_object(history.get("messages"))
    if not by_id:
        rows = notes.objects(chat.get("messages"))
        nodes = [
            _node(str(row.get("id") or f"#{place}"), row, notes) for place, row in enumerate(rows)
        ]
        return chain(nodes, source="open-webui", notes=notes)
    nodes = [_node(key, as_object(row), notes) for key, row in by_id.items()]
    leaf = as_text(history.get("currentId"))
    return flatten(nodes, leaf, source="open-webui", notes=notes)


def _node(key: str, row: dict[str, Any], notes: Notes) -> Node:
    node = read_message({n: value for n, value in row.items() if n not in TREE}, key, notes)
    parent, children = row.get("parentId"), row.get("childrenIds")
    node.parent = TOP if parent is None and "parentId" in row else as_text(parent)
    node.children = children if isinstance(children, list) else ()
    texts = node.said.texts
    if node.role == "assistant" and texts and texts[0].lstrip().startswith(REASONING):
        head, _, rest = texts[0].partition("</details>")
        quoted = SUMMARY.sub("", head.partition(">")[2]).strip().splitlines()
        node.said.think("\n".join(line.removeprefix("> ") for line in quoted))
        first = texts[0]
        node.said.reword(lambda text: rest.strip() if text is first else text)
    if row.get("done") is False:
        node.said.is_cut = True
    return node
