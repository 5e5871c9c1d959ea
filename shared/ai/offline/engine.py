"""The engine for a machine with no model: fixed rules, the same input gives the same output."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from ..protocol import AnalysisReady, EngineResult, Finished, TextDelta
from .rules import MAX_SCANNED_CHARS, analyse, goal_of, shortened
from .templates import file_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ...encoding.files import GeneratedFile
    from ..protocol import Analysis, EngineEvent, EngineRequest, HistoryMessage

_INTRODUCTION: Final = (
    "This is the offline engine: no AI model is configured, so this reply follows fixed rules."
)
_ADVICE: Final = {
    "generate_code": "Here is a starting point to fill in:",
    "step_by_step": (
        "Without a model I can only offer the frame of a plan:\n\n"
        "1. Write down what has to be true at the end.\n"
        "2. Take the smallest part that can be tried on its own.\n"
        "3. Try it, keep what works, and go on with the next part."
    ),
    "clarify": "Please say in a sentence what you would like to have or to know.",
    "direct_answer": (
        "Your message is stored. Set `MEGA_MIND_MODEL` to a model to have it answered."
    ),
}
_PIECE: Final = re.compile(r"\S+\s*|\s+")


class OfflineEngine:
    """Answers by rules, and says so.

    `delay` is a pause in seconds before each piece of text, for demonstrations and tests.
    """

    name: Final = "offline"

    def __init__(self, *, delay: float = 0.0) -> None:
        self._delay = delay

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the analysis, the reply word by word, and the result."""
        analysis = analyse(asked.text)
        yield AnalysisReady(analysis)
        goal = goal_of(asked.text)
        files = _files_for(asked.text, goal, analysis)
        message = _reply(goal, analysis, asked.history, files)
        for piece in _PIECE.findall(message):
            await asyncio.sleep(self._delay)
            yield TextDelta(piece)
        yield Finished(EngineResult(success=True, message=message, files=files, engine=self.name))


def _files_for(request: str, goal: str, analysis: Analysis) -> list[GeneratedFile]:
    if analysis.strategy != "generate_code":
        return []
    return [file_for(request[:MAX_SCANNED_CHARS], goal)]


def _reply(
    goal: str,
    analysis: Analysis,
    history: Sequence[HistoryMessage],
    files: Sequence[GeneratedFile],
) -> str:
    asked = f"You asked:\n\n> {goal}" if goal else "Your message was blank."
    parts = [_INTRODUCTION, asked, _history_note(history), _ADVICE[analysis.strategy]]
    return "\n\n".join(parts + [_fenced(file) for file in files])


def _history_note(history: Sequence[HistoryMessage]) -> str:
    if not history:
        return "This is the first message of the conversation."
    notes = [message.content for message in history if message.is_note]
    count = len(history) - len(notes)
    seen = f"I can see {count} earlier message{'' if count == 1 else 's'} of this conversation"
    summaries = sum(message.is_summary for message in history)
    seen += f", {summaries} of them a summary." if summaries else "."
    seen = " ".join([seen, *notes])
    before = next((row.content for row in reversed(history) if row.role == "user"), "")
    if not before.strip():
        return seen
    return f"{seen} Your previous message was:\n\n> {goal_of(before) or shortened(before)}"


def _fenced(file: GeneratedFile) -> str:
    return f"```{file.language} path={file.path}\n{file.content}```"
