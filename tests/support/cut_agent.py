"""An agent that never comes back from its tools: for a process that is killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator

from shared.ai.agents import AgentOutput
from shared.ai.protocol import EngineRequest
from shared.encoding.parts import Part

CALL: Part = {"type": "tool-weather", "state": "input-available"}
PARTS: list[Part] = [
    {"type": "reasoning", "text": "They want the weather."},
    {"type": "text", "text": "I look it up."},
    {**CALL, "toolCallId": "done", "input": {"city": "Rome"}, "state": "output-available",
     "output": {"sky": "clear"}},
    {**CALL, "toolCallId": "cut", "input": {"city": "Paris"}},
    {"type": "dynamic-tool", "toolName": "wind", "toolCallId": "half", "state": "input-streaming"},
]  # fmt: skip
TEXT = "I look it up."


async def agent(_: EngineRequest) -> AsyncIterator[AgentOutput]:
    """Give text in pieces, a call with its result, and two without."""
    reasoning, _text, *calls = PARTS
    yield reasoning
    yield TEXT[:7]
    yield TEXT[7:]
    for call in calls:
        yield {**call, "state": "input-streaming"}
        yield call
    await asyncio.Event().wait()
