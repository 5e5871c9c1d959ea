"""An engine that thinks, calls a tool and waits for its result as long as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from shared.ai.protocol import (
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    PartReady,
    ReasoningDelta,
    TextDelta,
)

CALL = {"type": "tool-weather", "toolCallId": "1", "input": {"city": "Paris"}}


class PartsEngine:
    """Gives the tool's result once the file is there that it is asked for."""

    name = "parts"

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield reasoning, text, a tool call in two states, and text."""
        yield ReasoningDelta("They want ")
        yield ReasoningDelta("the weather.")
        yield TextDelta("I look it up.")
        yield PartReady({**CALL, "state": "input-available"})
        while not await asyncio.to_thread(Path(asked.text).exists):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        yield PartReady({**CALL, "state": "output-available", "output": "Sunny"})
        yield TextDelta("It is *sunny*.")
        said = "I look it up.\n\nIt is *sunny*."
        yield Finished(EngineResult(success=True, message=said, engine=self.name))


engine = PartsEngine()
