"""One side of the comparison, in a process of its own: python -m bench.peers.worker NAME URL.

It reads a line `fill SIZE` or `turn SIZE`, does that, and answers with the seconds that it took.
Whoever compares lets the sides take turns.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

SIDES = {
    "floor": ("ours", "TheFloor"),
    "the naive flow": ("rows", "Naive"),
    "openai-agents": ("rows", "OpenAiAgents"),
    "google-adk": ("rows", "GoogleAdk"),
    "agno": ("rows", "Agno"),
    "langchain-postgres": ("rows", "LangchainPostgres"),
    "langgraph": ("wholes", "LangGraph"),
    "llama-index": ("wholes", "LlamaIndex"),
    "chainlit": ("wholes", "Chainlit"),
    "ours, in SQL": ("ours", "InSql"),
    "ours, over the Data API": ("ours", "OverTheDataApi"),
    "ours, at Postgres itself": ("ours", "AtPostgresItself"),
}


async def serve(side: Any, say: Callable[[str], None]) -> None:
    """Do what the lines of standard input say, until there are no more."""
    loop = asyncio.get_running_loop()
    say("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, size = line.split()
        started = time.perf_counter()
        await getattr(side, verb)(int(size))
        say(f"{time.perf_counter() - started:.6f}")


async def main() -> None:
    """Make the side and serve it; whatever its library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    with contextlib.redirect_stdout(sys.stderr):
        module, name = SIDES[sys.argv[1]]
        side = getattr(import_module(f"bench.peers.{module}"), name)(sys.argv[2])
        await serve(side, lambda said: print(said, file=answers, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
