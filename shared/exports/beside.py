"""What a message has beside its text: files, attachments, sources, reasoning, how it ended.

Any writer may have put anything into metadata: what doesn't fit is left out here, and is in the
JSON export as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..encoding.files import parse_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..models.rows import ConversationRow, MessageRow

ROLES: Final = {"user": "User", "assistant": "Assistant", "system": "System"}
_SOURCES: Final = {
    "chatgpt": "ChatGPT",
    "claude": "Claude",
    "deepseek": "DeepSeek",
    "gemini": "Gemini",
    "langchain": "LangChain",
    "librechat": "LibreChat",
    "list": "a list of messages",
    "message-persistence": "an export of this system",
    "open-webui": "Open WebUI",
    "sharegpt": "ShareGPT",
    "vercel": "Vercel AI SDK",
}
_ENDINGS: Final = {
    "cancelled": "This reply was stopped before it was complete.",
    "interrupted": "This reply was interrupted before it was complete.",
}


class File(NamedTuple):
    """A file of a message; `content` is None where only its name is known."""

    path: str
    language: str
    content: str | None


class Attachment(NamedTuple):
    """What was sent along with a message."""

    name: str
    media_type: str
    text: str


class Citation(NamedTuple):
    """A source that a reply names."""

    title: str
    url: str


def files_of(row: MessageRow) -> list[File]:
    """Return a message's files, but for those whose content stands in its text already."""
    listed = [
        File(_text(each, "path"), _text(each, "language"), _content(each))
        for each in _dicts(row.metadata, "files")
    ]
    code = row.generated_code
    if code and code.strip() and all(file.content is None for file in listed):
        listed = _files_in(code, listed)
    return [file for file in listed if not file.content or file.content.strip() not in row.content]


def attachments_of(metadata: Mapping[str, Any]) -> list[Attachment]:
    """Return what was attached to a message."""
    return [
        Attachment(_text(each, "name") or "unnamed", _text(each, "mediaType"), _text(each, "text"))
        for each in _dicts(metadata, "attachments")
    ]


def citations_of(metadata: Mapping[str, Any]) -> list[Citation]:
    """Return the sources of a reply."""
    found = (
        Citation(_text(each, "title"), _text(each, "url")) for each in _dicts(metadata, "citations")
    )
    return [citation for citation in found if citation.title or citation.url]


def reasoning_of(metadata: Mapping[str, Any]) -> str:
    """Return what the AI thought before it answered; empty where that isn't known."""
    return _text(metadata, "reasoning").strip()


def author_of(row: MessageRow) -> str:
    """Return who a message is from: its role and, of a reply, the model."""
    if row.is_summary:
        return "Summary"
    model = _text(row.metadata, "engine") or _text(_imported(row), "model")
    is_named = row.role == "assistant" and model
    return f"{ROLES[row.role]} ({model})" if is_named else ROLES[row.role]


def notices_of(row: MessageRow) -> Iterator[str]:
    """Yield what a reader should know of how a message came to be as it is."""
    if row.metadata.get("success") is False:
        error = error_of(row.metadata)
        kind = _text(error, "type")
        reason = f"This reply failed: {_text(error, 'message') or kind or 'no reason is known'}"
        yield _ENDINGS.get(kind, reason)
    if row.metadata.get("truncated") or row.metadata.get("finishReason"):
        yield "This reply was cut off before its end."
    if row.metadata.get("escaped"):
        yield "This message holds characters that are shown as escapes, such as \\u0000."
    for name, what in (("branches", "messages of other branches"), ("steps", "steps of tools")):
        if kept := _dicts(_imported(row), name):
            yield f"The JSON export also has {what}: {len(kept)}."


def error_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return why a reply failed; empty where it didn't."""
    error = metadata.get("error")
    return error if isinstance(error, dict) else {}


def source_of(conversation: ConversationRow) -> str:
    """Return the name of the system that a conversation was imported from; empty for our own."""
    for said in (conversation.imported, conversation.metadata.get("imported")):
        if isinstance(said, dict) and (source := _text(said, "source")):
            return _SOURCES.get(source, source)
    return ""


def _files_in(code: str, listed: list[File]) -> list[File]:
    """Return the files that `generated_code` holds: one as it is, several as fenced blocks."""
    if len(listed) > 1 and (parsed := parse_files(code)):
        return [File(file.path, file.language or "", file.content) for file in parsed]
    first = listed[0] if listed else File("", "", None)
    return [first._replace(content=code)]


def _imported(row: MessageRow) -> dict[str, Any]:
    imported = row.metadata.get("imported")
    return imported if isinstance(imported, dict) else {}


def _dicts(metadata: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = metadata.get(name)
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _content(file: Mapping[str, Any]) -> str | None:
    content = file.get("content")
    return content if isinstance(content, str) else None


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""
