"""A program with an AI of its own, which writes one turn through the library and prints the reply.

Usage: python -m tests.support.library_writer <user id> <key> <seconds between pieces>
"""

import asyncio
import json
import os
import sys

from shared import MessagePersistence
from shared.turns.failpoints import arm

REQUEST = "Write a poem"
PIECES = ["Roses ", "are ", "red, ", "violets ", "are ", "blue."]


async def main(user_id: str, key: str, pause: str) -> None:
    """Write the turn, or find its reply."""
    arm(os.environ.get("CRASH_POINT"))
    async with MessagePersistence() as chat:
        async with chat.turn(REQUEST, user_id=user_id, key=key) as turn:
            if not turn.replayed:
                for piece in PIECES:
                    await turn.write(piece)
                    await asyncio.sleep(float(pause))
        sys.stdout.write(json.dumps({"content": turn.reply.content, "replayed": turn.replayed}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
