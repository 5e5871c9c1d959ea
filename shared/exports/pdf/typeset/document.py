"""Rows as the document that the template sets: plain dicts and lists, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ...beside import (
    ROLES,
    attachments_of,
    author_of,
    calls_of,
    citations_of,
    error_of,
    files_of,
    notices_of,
    reasoning_of,
    source_of,
)
from .inline import link_runs
from .markdown import (
    Block,
    code_blocks,
    fenced_blocks,
    markdown_blocks,
    plain_blocks,
)
from .text import Characters, direction, first_words, han_variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ....models.rows import ConversationRow, MessageRow
    from ....models.transfers import ShownMessage

_DASH: Final = "\u2013"


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
        self.first = min(self.first or message.created_at, message.created_at, key=timestamp)
        self.last = max(self.last or message.created_at, message.created_at, key=timestamp)


def head(conversation: ConversationRow, summary: Summary, characters: Characters) -> dict[str, Any]:
    """Return the head of the document."""
    first = summary.first or conversation.created_at
    last = summary.last or conversation.updated_at
    source = source_of(conversation)
    counts = [_count(summary.messages, "message"), _count(summary.turns, "turn")]
    return {
        "title": characters.runs(conversation.title),
        "dir": direction(conversation.title),
        "han": han_variant(conversation.title),
        "dates": _span(first, last),
        "counts": " · ".join(counts),
        "source": characters.runs(f"Imported from {source}" if source else ""),
    }


def entry(
    message: ShownMessage, characters: Characters, *, is_numbered: bool = False
) -> dict[str, Any]:
    """Return one message; `outline` is its line in the outline, where it begins a turn."""
    number = f"{message.seq}. " if is_numbered else ""
    begins_turn = message.role != "assistant" or message.is_summary
    return {
        "role": message.role,
        "opening": message.opening,
        "label": characters.runs(f"{number}{author_of(message)}"),
        "time": _moment(message.created_at),
        "outline": _outline(message) if begins_turn else None,
        "han": han_variant(message.content),
        "reasoning": _reasoning(message, characters),
        "blocks": _blocks(message, characters),
        "notices": [
            {"dir": direction(text), "runs": characters.runs(text)} for text in notices_of(message)
        ],
    }


def timestamp(text: str) -> datetime:
    """Return a row's time, in UTC, to the second."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def _outline(message: MessageRow) -> str:
    words = first_words(message.content)
    if message.role == "user" and not message.is_summary:
        return words or ROLES["user"]
    label = "Summary" if message.is_summary else ROLES[message.role]
    return f"{label}: {words}" if words else label


def _blocks(message: MessageRow, characters: Characters) -> list[Block]:
    return [*_text(message, characters), *_beside(message, characters)]


def _text(message: MessageRow, characters: Characters) -> list[Block]:
    if message.content == error_of(message.metadata).get("message"):
        return []  # the notice says it
    if message.role == "user":
        return fenced_blocks(message.content, characters)
    return markdown_blocks(message.content, characters)


def _beside(message: MessageRow, characters: Characters) -> Iterator[Block]:
    """Yield what a message has beside its text."""
    for call in calls_of(message):
        yield from _named(f"Tool: {call.name}", f"{call.given}\n{call.result}".strip(), characters)
    for path, language, content in files_of(message):
        name = _titled(path, language) or "Code"
        yield from _named(f"File: {name}" if content is None else name, content, characters)
    for attached in attachments_of(message):
        name = f"Attached: {_titled(attached.name, attached.media_type)}"
        yield from _named(name, attached.text, characters)
    if citations := citations_of(message):
        yield from plain_blocks("Sources", characters)
        items = [[["p", "ltr", link_runs(*each, characters), False]] for each in citations]
        yield ["list", "ltr", None, items]


def _named(name: str, content: str | None, characters: Characters) -> list[Block]:
    """Return content under its name, or the name alone."""
    if not content:
        return plain_blocks(name, characters)
    return code_blocks(content, characters, caption=name)


def _titled(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _reasoning(message: MessageRow, characters: Characters) -> list[Block]:
    reasoning = reasoning_of(message)
    return markdown_blocks(reasoning, characters) if reasoning else []


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
