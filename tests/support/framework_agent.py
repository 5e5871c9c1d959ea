"""An agent of pydantic-ai with a tool of its own, which asks the provider that it is told of."""

import os
from collections.abc import AsyncIterator

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from shared.ai.model.messages import as_messages
from shared.ai.protocol import EngineRequest


def weather(city: str) -> str:
    """Return the weather."""
    return f"Clear in {city}."


async def agent(asked: EngineRequest) -> AsyncIterator[str]:
    """Answer with what was said before, calls of tools among it."""
    provider = OpenAIProvider(base_url=os.environ["PROVIDER_URL"], api_key="unused")
    framework = Agent(OpenAIChatModel("any", provider=provider), tools=[weather])
    history = as_messages(asked.history)
    async with framework.run_stream(asked.text, message_history=history) as run:
        async for piece in run.stream_text(delta=True):
            yield piece
