"""Rows as the document that the template sets: plain dicts and lists, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from shared.exports.pdf.typeset.markdown import Block, code_blocks, fenced_blocks, markdown_blocks
from shared.exports.pdf.typeset.text import Characters, direction, first_words, han_variant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.models.rows import ConversationRow, MessageRow

_ROLES: Final = {"user": "User", "assistant": "Assistant", "system": "System"}
_DASH: Final = "\u2013"
_ENDINGS: Final = {
    "cancelled": "This reply was stopped before it was complete.",
    "interrupted": "This reply was interrupted before it was complete.",
}


@dataclass(slots=True)
class Summary:
    """What the head of the document says of all messages."""

    messages: int = 0
    turns: int = 0
    first: str | None = None
    last: str | None = None

    def add(self, message: MessageRow) -> None:
        """Count one more message."""
        self.messages += 1
        self.turns += message.role == "user"
        self.first = self.first or message.created_at
        self.last = message.created_at


def head(conversation: ConversationRow, summary: Summary, characters: Characters) -> dict[str, Any]:
    """Return the head of the document."""
    first = summary.first or conversation.created_at
    last = summary.last or conversation.updated_at
    counts = [_count(summary.messages, "message"), _count(summary.turns, "turn")]
    return {
        "title": characters.runs(conversation.title),
        "dir": direction(conversation.title),
        "han": han_variant(conversation.title),
        "dates": _span(first, last),
        "counts": " · ".join(counts),
    }


def entry(message: MessageRow, characters: Characters) -> dict[str, Any]:
    """Return one message; `outline` is its line in the outline, where it begins a turn."""
    begins_turn = message.role != "assistant" or message.is_summary
    return {
        "role": message.role,
        "label": "Summary" if message.is_summary else _ROLES[message.role],
        "time": _moment(message.created_at),
        "outline": _outline(message) if begins_turn else None,
        "han": han_variant(message.content),
        "blocks": _blocks(message, characters),
        "notices": [
            {"dir": direction(text), "runs": characters.runs(text)} for text in _notices(message)
        ],
    }


def timestamp(text: str) -> datetime:
    """Return a row's time, in UTC, to the second."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def _outline(message: MessageRow) -> str:
    words = first_words(message.content)
    if message.role == "user" and not message.is_summary:
        return words or _ROLES["user"]
    label = "Summary" if message.is_summary else _ROLES[message.role]
    return f"{label}: {words}" if words else label


def _blocks(message: MessageRow, characters: Characters) -> list[Block]:
    if message.content == _error(message).get("message"):
        return []  # the notice says it
    if message.role == "user":
        return fenced_blocks(message.content, characters)
    blocks = markdown_blocks(message.content, characters)
    shown = {block[2] for block in blocks if block[0] == "code"}
    # A file that stands in the text already is not shown twice.
    return blocks + [file for file in _files(message, characters) if file[2] not in shown]


def _files(message: MessageRow, characters: Characters) -> list[Block]:
    code = message.generated_code
    if not code or not code.strip():
        return []
    files = message.metadata.get("filesGenerated")
    known = [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    if len(known) > 1:
        return fenced_blocks(code, characters)
    parts = [known[0].get(name) for name in ("path", "language")] if known else []
    return code_blocks(code, characters, caption=" · ".join(str(part) for part in parts if part))


def _notices(message: MessageRow) -> Iterable[str]:
    if message.metadata.get("success") is False:
        error = _error(message)
        kind = str(error.get("type", ""))
        reason = f"This reply failed: {error.get('message') or kind or 'no reason is known'}"
        yield _ENDINGS.get(kind, reason)
    if message.metadata.get("truncated"):
        yield "This reply was cut at the limit of its length."
    if message.metadata.get("escaped"):
        yield "This reply holds characters that are shown as escapes, such as \\u0000."


def _error(message: MessageRow) -> dict[str, Any]:
    error = message.metadata.get("error")
    return error if isinstance(error, dict) else {}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _span(first: str, last: str) -> str:
    start, end = timestamp(first), timestamp(last)
    if start.date() == end.date():
        return f"{_moment(first)} {_DASH} {end:%H:%M} UTC"
    return f"{_moment(first)} {_DASH} {_moment(last)} UTC"


def _moment(text: str) -> str:
    moment = timestamp(text)
    return f"{moment.day} {moment:%b %Y}, {moment:%H:%M}"
