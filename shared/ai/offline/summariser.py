"""A summary with no model: the first sentences of what was said, and it says that it is that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..protocol import SummaryText
from ..tokens import BYTES_PER_TOKEN, MESSAGE_TOKENS
from .rules import goal_of, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocol import HistoryMessage

HEADING: Final = "Extract by fixed rules, no AI model is configured. First sentences, oldest first:"
LEFT_OUT: Final = "- ..."
MAX_LINE_CHARS: Final = 120


class OfflineSummariser:
    """Extracts, and always the same from the same messages."""

    name: Final = "offline"

    async def summarise(
        self, messages: Sequence[HistoryMessage], *, previous: str | None, tokens: int
    ) -> SummaryText:
        """Return the conversation's first line and as many of its newest as fit."""
        kept = [line for line in (previous or "").split("\n") if line.startswith("- ")]
        new = [line for message in messages if (line := _line(message))]
        lines = [line for line in [*kept, *new] if line != LEFT_OUT]
        room = (tokens - MESSAGE_TOKENS) * BYTES_PER_TOKEN - _size(HEADING)
        return SummaryText(text="\n".join([HEADING, *_within(lines, room)]))


def _line(message: HistoryMessage) -> str:
    said = goal_of(message.content) or shortened(message.content)
    return f"- {message.role}: {shortened(said, MAX_LINE_CHARS)}" if said else ""


def _within(lines: Sequence[str], room: int) -> list[str]:
    """Return the first line, a mark where lines are missing, and the last lines that fit."""
    if sum(map(_size, lines)) <= room or not lines:
        return list(lines)
    room -= _size(lines[0]) + _size(LEFT_OUT)
    newest: list[str] = []
    for line in reversed(lines[1:]):
        room -= _size(line)
        if room < 0:
            break
        newest.append(line)
    return [lines[0], LEFT_OUT, *reversed(newest)]


def _size(line: str) -> int:
    return len(line.encode(errors="replace")) + 1
