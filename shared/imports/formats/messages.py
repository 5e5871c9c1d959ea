"""A list of messages, whoever wrote it: a client's own, OpenAI's and Anthropic's, Vercel's,
LangChain's and ShareGPT's. Each has a role and a content under some name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..attached import media_kind
from ..blocks import add_citations, read_blocks
from ..nodes import Node
from ..parsed import BY_CONTENT, as_object, as_objects, digest_of
from ..said import visible_texts
from ..tools import read_tool
from ..tree import chain

if TYPE_CHECKING:
    from ...models.transfers import ImportSource
    from ..parsed import Notes, ParsedConversation

ROLES: Final = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant",
    "model": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "aimessagechunk": "assistant", "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "ipython": "tool", "function_call": "tool",
    "observation": "tool", "function_call_output": "tool", "reasoning": "assistant",
}  # fmt: skip
ROLE_NAMES: Final = ("role", "from", "sender", "author", "type")
CONTENTS: Final = ("parts", "content", "value", "text", "message")
CALLS: Final = ("tool_calls", "arguments", "output", "summary")
TIMES: Final = ("timestamp", "createdAt", "created_at", "create_time", "date", "time")
READ: Final = frozenset(
    {
        *TIMES, *CONTENTS, "role", "from", "type", "id", "tool_calls", "function_call", "reasoning",
        "reasoning_content", "annotations", "sources", "attachments", "files", "refusal",
        "experimental_attachments", "additional_kwargs",
    }
)  # fmt: skip
EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


def is_message(entry: Any) -> bool:
    """Say whether an entry is one message of a list."""
    if not isinstance(entry, dict):
        return False
    message = unwrapped(entry)
    has_content = any(name in message for name in (*CONTENTS, *CALLS))
    return has_content and role_of(message) is not None


def messages_of(entry: dict[str, Any]) -> tuple[str, list[Any]] | None:
    """Return the list of messages that an entry holds, and its name; None if it holds none."""
    for name, rows in entry.items():
        if isinstance(rows, list) and any(map(is_message, rows[:20])):
            return name, rows
    is_empty = entry.get("messages") == [] and entry.keys() <= {"messages", "title"}
    return ("messages", []) if is_empty else None


def read_list(
    rows: list[Any], notes: Notes, *, about: dict[str, Any], key: str | None
) -> ParsedConversation:
    """Return a list of messages, known by its key or else by its content.

    `about` has what stands beside the list: a title, a system text, and what nobody knows.
    """
    nodes = []
    for place, row in enumerate(rows):
        if is_message(row):
            message = unwrapped(row)
            nodes.append(read_message(message, _id_of(message) or f"#{place}", notes))
        else:
            notes.left_out["unreadable"] += 1
    read_system(about.get("system") or about.get("systemInstruction"), notes)
    source = source_of(rows)
    digest = digest_of([about.get("title"), rows])
    more = {name: value for name, value in about.items() if name not in {"title", "system"}}
    conversation = notes.conversation(
        source,
        key or f"{BY_CONTENT}{digest}",
        about.get("title"),
        chain(nodes, source=source, notes=notes),
        created_at=next((about[name] for name in TIMES if name in about), None),
        more={"more": more},
    )
    conversation.provenance = {"checksum": digest}
    return conversation


def source_of(rows: list[Any]) -> ImportSource:
    """Say whose list this is, by its first message."""
    first: dict[str, Any] = next((row for row in rows if is_message(row)), {})
    if "from" in first and "value" in first:
        return "sharegpt"
    if isinstance(first.get("data"), dict) or "lc" in first or first.get("type") in {"human", "ai"}:
        return "langchain"
    is_gemini = first.get("role") == "model" or not as_objects(first.get("parts"))
    return "list" if is_gemini or "type" not in as_objects(first["parts"])[0] else "vercel"


def unwrapped(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a message as it is within LangChain's wrappers."""
    if isinstance(entry.get("data"), dict) and isinstance(entry.get("type"), str):
        return {**entry["data"], "type": entry["type"]}
    if isinstance(entry.get("kwargs"), dict) and isinstance(entry.get("id"), list):
        name = str(entry["id"][-1:]).lower()
        role = next(
            (role for role in ("human", "ai", "system", "tool", "function") if role in name), None
        )
        return {**entry["kwargs"], "type": role}
    return entry


def role_of(message: dict[str, Any]) -> str | None:
    """Return who says a message, as its format names them."""
    for name in ROLE_NAMES:
        given = message.get(name)
        given = as_object(given).get("role", given)
        if isinstance(given, str) and (name in {"role", "from"} or given.lower() in ROLES):
            return given.lower()
    return None


def _id_of(message: dict[str, Any]) -> str | None:
    given = message.get("id")
    return str(given) if given and isinstance(given, str | int) else None


def read_message(message: dict[str, Any], key: str, notes: Notes) -> Node:
    """Return a message as a node: said, a step, or a system's text, which is noted."""
    given = role_of(message) or ""
    full = {name: value for name, value in message.items() if value not in EMPTY}
    message = {**as_object(message.get("additional_kwargs")), **full}
    node = Node(key, None, "message", ROLES.get(given, ""))
    node.at = notes.moment(next((message[name] for name in TIMES if message.get(name)), None))
    said = node.said
    said.think(message.get("reasoning_content") or message.get("reasoning"))
    if given == "reasoning":
        said.think("\n\n".join(visible_texts(message.get("summary"))))
    contents = [name for name in CONTENTS if name in message]
    while contents and not said.is_shown:
        read_blocks(message[contents.pop(0)], said)
    said.say(message.get("refusal"))
    add_citations(said, message.get("annotations"))
    add_citations(said, message.get("sources"))
    _add_beside(node, message)
    shown = "".join(said.texts)
    said.more |= {name: message[name] for name in contents if str(message[name]) not in shown}
    if node.role == "system":
        notes.system.extend(said.texts)
        node.kind = "hidden"
    elif node.role in {"tool", ""}:
        _put_aside(node, given)
    elif not said:
        node.kind, node.left_out = "hidden", "empty"
    elif not said.is_shown:  # Anthropic has the results of tools in a user's messages
        node.kind = "step"
    return node


def _put_aside(node: Node, given: str) -> None:
    """Make a call, a result or a step of what is no user's and no assistant's."""
    said = node.said
    words = {"content": "\n\n".join(said.texts)} if said.texts else {}
    step = {**said.more, "type": given or "unknown role", **words}
    node.kind, said.texts, said.more = "step", [], {}
    if node.role != "tool":
        said.step(**step)
    elif len(step) > 1:  # else its blocks have said it all
        read_tool(step, said, step=step, is_result=given != "function_call")


def _add_beside(node: Node, message: dict[str, Any]) -> None:
    """Add what stands beside a message's content."""
    said = node.said
    for call in (*as_objects(message.get("tool_calls")), as_object(message.get("function_call"))):
        if call:
            step = {"type": "tool_call", **call}
            read_tool(step, said, step=step)
    for name in ("attachments", "files", "experimental_attachments"):
        given = message.get(name, [])
        for one in given if isinstance(given, list) else [given]:
            file = one if isinstance(one, dict) else {"name": one}
            inner = {**as_object(file.get("file")), **file}
            title = inner.get("filename") or inner.get("name")
            media_type = inner.get("contentType") or inner.get("type") or inner.get("mime_type")
            url = inner.get("url") or inner.get("data")
            mark = said.attach(media_kind(media_type, title), title, media_type, url)
            if not said.texts:
                said.say(mark)
    said.more = {name: value for name, value in message.items() if name not in READ}


def read_system(value: Any, notes: Notes) -> None:
    """Note a text for the AI that stands beside the messages."""
    node = read_message({"role": "system", "content": value}, "", notes)
    node.said.texts.clear()
