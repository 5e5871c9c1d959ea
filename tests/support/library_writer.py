"""A program with an AI of its own, which writes through the library what it is told to.

It takes a job a line as JSON, and answers each with a line. CRASH_POINT names where it dies.
"""

import asyncio
import json
import os
import sys
from typing import Any

from shared import MessagePersistence
from shared.errors import AppError
from shared.turns.failpoints import arm

REQUEST = "Write a poem"
PIECES = ["Roses ", "are ", "red, ", "violets ", "are ", "blue."]

Job = dict[str, Any]


async def write_turn(chat: MessagePersistence, job: Job) -> Job:
    """Write a turn, or find its reply."""
    place = {name: job[name] for name in ("user_id", "key", "conversation_id") if name in job}
    async with chat.turn(job.get("request", REQUEST), **place) as turn:
        if not turn.replayed:
            for piece in job.get("pieces", PIECES):
                await turn.add(piece)
                await asyncio.sleep(job.get("pause", 0))
    rows = [row.model_dump(mode="json") for row in (turn.user_message, turn.reply)]
    return {"content": turn.reply.content, "replayed": turn.replayed, "rows": rows}


async def add_items(chat: MessagePersistence, job: Job) -> Job:
    """Add texts to a session of a framework, with one object, until the store has them."""
    session: Any
    if job["framework"] == "openai-agents":
        from shared.sessions.openai_agents import StoredSession

        session = StoredSession(chat, user_id=job["user_id"], session_id=job["session_id"])
        given: list[Any] = [{"role": "user", "content": text} for text in job["texts"]]
        add = session.add_items
    else:
        from pydantic_ai.messages import ModelRequest, UserPromptPart

        from shared.sessions.pydantic_ai import StoredHistory

        session = StoredHistory(chat, user_id=job["user_id"], session_id=job["session_id"])
        given = [ModelRequest([UserPromptPart(text)]) for text in job["texts"]]
        add = session.add
    while True:
        try:
            await add(given)
        except AppError as exc:
            if not exc.retryable:
                raise
            await asyncio.sleep(0.1)
        else:
            return {"conversation_id": str(session.conversation_id)}


async def main() -> None:
    """Do one job after the other."""
    arm(os.environ.get("CRASH_POINT"))
    async with MessagePersistence() as chat:
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            try:
                answer = await (add_items if "texts" in job else write_turn)(chat, job)
            except AppError as exc:
                answer = {"status": exc.status, "code": exc.code}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
