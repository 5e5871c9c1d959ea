"""What a message has beside its text: files, attachments, sources, reasoning, how it ended.

Any writer may have put anything into metadata: what doesn't fit is left out here, and is in the
JSON export as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..encoding.canonical import canonical
from ..encoding.files import parse_files
from ..encoding.parts import is_tool, tool_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..models.rows import ConversationRow, MessageRow
    from ..models.transfers import ShownMessage

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


class Call(NamedTuple):
    """A call of a tool: what it was given, and what came of it, as JSON or in words."""

    name: str
    given: str
    result: str


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


def attachments_of(row: MessageRow) -> list[Attachment]:
    """Return what was attached to a message, but for the files that a reply lists."""
    listed = {_text(each, "path") for each in _dicts(row.metadata, "files")}
    noted = [
        Attachment(_text(each, "name") or "unnamed", _text(each, "mediaType"), _text(each, "text"))
        for each in _dicts(row.metadata, "attachments")
    ]
    return noted + [
        Attachment(_name_of(part), _text(part, "mediaType"), "")
        for part in _parts(row, "file")
        if part.get("filename") not in listed
    ]


def calls_of(row: MessageRow) -> list[Call]:
    """Return the calls of tools in a reply, in order."""
    return [
        Call(tool_name(part), _written(part.get("input")), _result_of(part))
        for part in row.parts
        if is_tool(part)
    ]


def citations_of(row: MessageRow) -> list[Citation]:
    """Return the sources of a reply, each once."""
    named = [*_dicts(row.metadata, "citations"), *_parts(row, "source-url", "source-document")]
    found = (Citation(_text(each, "title"), _text(each, "url")) for each in named)
    return list(dict.fromkeys(citation for citation in found if citation.title or citation.url))


def reasoning_of(row: MessageRow) -> str:
    """Return what the AI thought before it answered; empty if that isn't known."""
    noted = _text(row.metadata, "reasoning")
    return (noted or "\n\n".join(_text(part, "text") for part in _parts(row, "reasoning"))).strip()


def author_of(row: MessageRow) -> str:
    """Return who a message is from: its role and, of a reply, the model."""
    if row.is_summary:
        return "Summary"
    model = _text(row.metadata, "engine") or _text(_imported(row), "model")
    is_named = row.role == "assistant" and model
    return f"{ROLES[row.role]} ({model})" if is_named else ROLES[row.role]


def notices_of(row: ShownMessage) -> Iterator[str]:
    """Yield what a reader should know of how a message came to be as it is."""
    if row.versions:
        yield row.versions
    if row.metadata.get("success") is False:
        error = error_of(row.metadata)
        kind = _text(error, "type")
        reason = f"This reply failed: {_text(error, 'message') or kind or 'no reason is known'}"
        yield _ENDINGS.get(kind, reason)
    if row.metadata.get("truncated") or row.metadata.get("finishReason"):
        yield "This reply was cut off before its end."
    if row.metadata.get("escaped"):
        yield "This message holds characters that are shown as escapes, such as \\u0000."
    if steps := _dicts(_imported(row), "steps"):
        yield f"The JSON export also has steps of tools: {len(steps)}."


def error_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return why a reply failed; empty if it didn't."""
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


def _parts(row: MessageRow, *kinds: str) -> list[dict[str, Any]]:
    return [part for part in row.parts if part.get("type") in kinds]


def _name_of(file: dict[str, Any]) -> str:
    url = _text(file, "url")
    return _text(file, "filename") or ("unnamed" if url.startswith("data:") else url)


def _written(value: Any) -> str:
    return "" if value is None else canonical(value)


def _result_of(part: dict[str, Any]) -> str:
    if part.get("state") == "output-available":
        return _written(part.get("output"))
    words = {"output-error": _text(part, "errorText"), "output-denied": "not allowed"}
    return words.get(str(part.get("state")), "no result")


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""
