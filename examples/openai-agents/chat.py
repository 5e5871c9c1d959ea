"""An agent of the OpenAI Agents SDK that remembers: python chat.py <user id> <session> <text>

Reads SUPABASE_URL, SUPABASE_SECRET_KEY and the SDK's own settings, such as OPENAI_API_KEY.
"""

import asyncio
import sys

from agents import Agent, Runner, function_tool
from message_persistence import MessagePersistence
from message_persistence.sessions.openai_agents import StoredSession


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


agent = Agent(name="Adder", instructions="Add with your tool.", tools=[add])


async def main(user_id: str, session_id: str, said: str) -> None:
    """Let the agent answer, with everything that was said in the session before."""
    async with MessagePersistence() as chat:
        session = StoredSession(chat, user_id=user_id, session_id=session_id)
        result = await Runner.run(agent, said, session=session)
    print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
