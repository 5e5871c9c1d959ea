"""Engines for pages of the AI SDK: all kinds of parts, tools that ask first, counted answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.ai.protocol import (
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    PartReady,
    ReasoningDelta,
    TextDelta,
)
from shared.encoding.parts import Part

CALL: Part = {
    "type": "tool-weather",
    "toolCallId": "call-1",
    "state": "input-available",
    "input": {"city": "Bonn"},
}
SOURCE: Part = {"type": "source-url", "sourceId": "s", "url": "https://example.com", "title": "Ex"}
EVERYTHING: Sequence[EngineEvent] = [
    ReasoningDelta("Let me "),
    ReasoningDelta("see."),
    PartReady({"type": "step-start"}),
    TextDelta("I look "),
    TextDelta("it up."),
    PartReady(CALL),
    PartReady({**CALL, "state": "output-available", "output": {"degrees": 7}}),
    PartReady({**CALL, "toolCallId": "call-2", "type": "dynamic-tool", "toolName": "wind"}),
    PartReady(
        {**CALL, "toolCallId": "call-2", "type": "dynamic-tool", "toolName": "wind",
         "state": "output-error", "errorText": "No wind."}
    ),
    PartReady({"type": "step-start"}),
    TextDelta("It is 7 degrees."),
    PartReady(SOURCE),
    PartReady({"type": "file", "url": "data:text/plain,7", "mediaType": "text/plain"}),
    PartReady({"type": "data-forecast", "id": "f", "data": {"days": 1}}),
    PartReady({"type": "data-forecast", "id": "f", "data": {"days": 2}}),
    TextDelta("Tomorrow, too."),
]  # fmt: skip


class PlayingEngine:
    """Yields these events; from `pause_at` on it waits to be released."""

    name = "playing"

    def __init__(self, events: Sequence[EngineEvent], *, pause_at: int | None = None) -> None:
        self.events = events
        self.pause_at = pause_at
        self.release = asyncio.Event()

    async def run(self, _: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the events and the result."""
        text = ""
        for place, event in enumerate(self.events):
            if place == self.pause_at:
                await self.release.wait()
            text += event.text if isinstance(event, TextDelta) else ""
            yield event
        yield Finished(EngineResult(success=True, message=text, engine=self.name))


class AskingEngine:
    """Asks before it deletes, and does as it is told; `hold` makes it wait before it goes on."""

    name = "asking"

    def __init__(self, *, hold: bool = False) -> None:
        self.asked: list[EngineRequest] = []
        self.release = asyncio.Event()
        if not hold:
            self.release.set()

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the call that waits for an approval, or what came of it."""
        self.asked.append(asked)
        answers = [part["data"] for part in asked.parts if part["type"] == "data-tool-answer"]
        call: dict[str, Any] = {
            "type": "tool-delete", "toolCallId": f"delete-{len(asked.history)}",
            "input": {"path": "a.txt"},
        }  # fmt: skip
        if not answers:
            text = "Shall I?"
            yield TextDelta(text)
            yield PartReady({**call, "state": "approval-requested", "approval": {"id": "ask-1"}})
        else:
            (call,) = [
                part for part in asked.history[-1].parts if part.get("toolCallId") is not None
            ]
            is_allowed = answers[0]["approval"]["approved"]
            done = {"state": "output-available", "output": "gone"}
            result = done if is_allowed else {"state": "output-denied"}
            yield PartReady({**call, **result, "approval": answers[0]["approval"]})
            await self.release.wait()
            text = "Deleted." if is_allowed else "Kept."
            yield TextDelta(text)
        yield Finished(EngineResult(success=True, message=text, engine=self.name))


class LocatingEngine:
    """Has the page run its tool, and says what that gave."""

    name = "locating"

    def __init__(self) -> None:
        self.asked: list[EngineRequest] = []

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the call that the page is to run, or what it gave."""
        self.asked.append(asked)
        answers = [part["data"] for part in asked.parts if part["type"] == "data-tool-answer"]
        if answers:
            found = answers[0].get("output") or answers[0].get("errorText")
            text = f"You are in {found}."
            yield TextDelta(text)
        else:
            text = "Let me look."
            yield TextDelta(text)
            yield PartReady(
                {"type": "tool-locate", "toolCallId": f"locate-{len(asked.history)}",
                 "state": "input-available", "input": {}}
            )  # fmt: skip
        yield Finished(EngineResult(success=True, message=text, engine=self.name))


class CountingEngine:
    """Answers with what it was asked, and how often it was asked anything."""

    name = "counting"

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the answer."""
        self.runs += 1
        text = f"{asked.text}! ({self.runs})"
        yield TextDelta(text)
        yield Finished(EngineResult(success=True, message=text, engine=self.name))
