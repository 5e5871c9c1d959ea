"""Files of conversations as the providers give them out, in their documented shape."""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

ROOT_PARENT = "00000000-0000-4000-8000-000000000000"  # Claude's, above the first message


def gpt_message(role: str, text: Any, *, at: float | None = None, **more: Any) -> dict[str, Any]:
    """Return a message of ChatGPT's; `text` may be a whole content."""
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    return {
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": at,
        "content": content,
        "status": "finished_successfully",
        "metadata": {},
        "recipient": "all",
        **more,
    }


def gpt_conversation(
    nodes: Sequence[tuple[str, str | None, dict[str, Any] | None]], **more: Any
) -> dict[str, Any]:
    """Return a conversation of ChatGPT's from (id, parent, message)."""
    children: dict[str | None, list[str]] = {}
    for key, parent, _ in nodes:
        children.setdefault(parent, []).append(key)
    return {
        "title": "A plan",
        "create_time": 1_700_000_000.25,
        "update_time": 1_700_000_100.5,
        "mapping": {
            key: {
                "id": key,
                "message": message,
                "parent": parent,
                "children": children.get(key, []),
            }
            for key, parent, message in nodes
        },
        "current_node": nodes[-1][0] if nodes else None,
        "conversation_id": "gpt-1",
        **more,
    }


def gpt_sample() -> list[dict[str, Any]]:
    """Return an export of ChatGPT's with what real ones have: see what is taken of it below."""
    image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1"}
    nodes: list[tuple[str, str | None, dict[str, Any] | None]] = [
        ("root", None, None),
        ("system", "root", gpt_message("system", "")),
        ("context", "system", gpt_message("user", {
            "content_type": "user_editable_context", "user_profile": "P", "user_instructions": "I",
        }, metadata={"is_visually_hidden_from_conversation": True})),
        ("old", "context", gpt_message("user", "The first try", at=1_700_000_001)),
        ("old-reply", "old", gpt_message("assistant", "To the first try", at=1_700_000_002)),
        ("ask", "context", gpt_message("user", {
            "content_type": "multimodal_text", "parts": [image, "What is this?"],
        }, at=1_700_000_010)),
        ("thoughts", "ask", gpt_message("assistant", {
            "content_type": "thoughts", "thoughts": [{"summary": "S", "content": "Hmm"}],
        }, at=1_700_000_011)),
        ("call", "thoughts", gpt_message("assistant", {
            "content_type": "code", "language": "python", "text": "look()",
        }, at=1_700_000_012, recipient="python")),
        ("tool", "call", gpt_message("tool", {
            "content_type": "execution_output", "text": "a cat",
        }, at=1_700_000_013)),
        ("answer", "tool", gpt_message(
            "assistant", "A cat.", at=1_700_000_014, metadata={"model_slug": "gpt-x"})),
        ("empty", "answer", gpt_message("assistant", "", at=1_700_000_015)),
        ("thanks", "empty", gpt_message("user", "Thanks", at=1_700_000_009)),
        ("last", "thanks", gpt_message("assistant", "You're welcome", at=None)),
    ]  # fmt: skip
    return [gpt_conversation(nodes)]


GPT_TAKEN = [
    ("user", "[image: file-1]\n\nWhat is this?"),
    ("assistant", "```python\nlook()\n```\n\n```\na cat\n```\n\nA cat."),
    ("user", "Thanks"),
    ("assistant", "You're welcome"),
]


def claude_message(
    uuid: str, sender: str, text: str, parent: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return a message of Claude's."""
    message = {
        "uuid": uuid,
        "text": text,
        "content": [{"type": "text", "text": text}] if text else [],
        "sender": sender,
        "created_at": "2025-03-01T10:00:00.123456Z",
        "updated_at": "2025-03-01T10:00:00.123456Z",
        "attachments": [],
        "files": [],
    }
    return {**message, **({} if parent is None else {"parent_message_uuid": parent}), **more}


def claude_sample() -> list[dict[str, Any]]:
    """Return an export of Claude's: one conversation with a branch, one without parents."""
    tools = [
        {"type": "thinking", "thinking": "Hmm"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "name": "search", "input": {"query": "cats"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "found"}]},
        {"type": "text", "text": "Cats."},
    ]
    pasted = [{"file_name": "", "file_type": "txt", "file_size": 3, "extracted_content": "pasted"}]
    tree = [
        claude_message("m1", "human", "Hello", ROOT_PARENT),
        claude_message("m2", "assistant", "Old reply", "m1"),
        claude_message(
            "m3", "assistant", "", "m1", content=tools, created_at="2025-03-01T10:00:05Z"),
        claude_message(
            "m4", "human", "", "m3", attachments=pasted, created_at="2025-03-01T10:00:09Z"),
        claude_message("m5", "assistant", "", "m4", created_at="2025-03-01T10:00:10Z"),
    ]  # fmt: skip
    flat = [claude_message("n1", "human", "Flat"), claude_message("n2", "assistant", "Yes")]
    common = {"created_at": "2025-03-01T09:59:00Z", "updated_at": "2025-03-01T10:00:09Z"}
    account = {"account": {"uuid": "a"}}
    return [
        {"uuid": "claude-1", "name": "Cats", **common, **account, "chat_messages": tree},
        {"uuid": "claude-2", "name": "", **common, **account, "chat_messages": flat},
    ]


CLAUDE_TAKEN = [("user", "Hello"), ("assistant", "Let me look.\n\nCats."), ("user", "pasted")]


def zipped(**files: bytes) -> bytes:
    """Return a zip of these files; in a name two underscores are a slash, and one more is a dot."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name.replace("___", ".").replace("__", "/"), content)
    return written.getvalue()


def lines_of(document: dict[str, Any]) -> tuple[Any, Any]:
    """Return what a document's checksum covers and the checksum."""
    covered = [
        {
            name: message[name]
            for name in (
                "seq", "role", "content", "generated_code", "metadata", "is_summary", "created_at",
            )
        }
        for message in document["messages"]
    ]  # fmt: skip
    return (document["conversation"], covered), document["checksum"]


def as_bytes(document: Any) -> bytes:
    """Return JSON text as it may come from anywhere, with escapes."""
    return json.dumps(document).encode()
