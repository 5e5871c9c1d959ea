"""A program with an agent of the OpenAI Agents SDK and a session, which may die in its tool.

Usage: python -m tests.support.agents_writer <user id> <provider's address> <request> ...
"""

import asyncio
import os
import signal
import sys

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from shared import MessagePersistence
from shared.sessions.openai_agents import StoredSession

SESSION = "one session"


@function_tool
def look(place: str) -> str:
    """Look somewhere; die, if the place is deadly."""
    if place == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"Nothing in {place}."


async def main(user_id: str, url: str, *requests: str) -> None:
    """Ask for one after the other, and print each answer on a line."""
    set_tracing_disabled(disabled=True)
    client = AsyncOpenAI(base_url=url, api_key="unused")
    model = OpenAIChatCompletionsModel("any", openai_client=client)
    agent = Agent(name="Looker", tools=[look], model=model)
    async with MessagePersistence() as chat:
        session = StoredSession(chat, user_id=user_id, session_id=SESSION)
        for request in requests:
            result = await Runner.run(agent, request, session=session)
            sys.stdout.write(f"{result.final_output}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
