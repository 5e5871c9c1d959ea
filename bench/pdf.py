"""What a PDF of a long conversation costs: time, and the memory of both processes.

python -m bench.pdf [messages, by default 10000]
"""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from uuid import UUID

from shared.exports.pdf.render import render_pdf
from shared.models.rows import ConversationRow, MessageRow

START = datetime(2026, 1, 1, tzinfo=UTC)
SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. "
CODE = "\n".join(f"    value_{line} = compute({line}, 'abc')  # a comment" for line in range(12))
REPLY = (
    f"{SENTENCE * 4}\n\n- {SENTENCE}\n- **{SENTENCE}**\n\n```python\n{CODE}\n```\n\n{SENTENCE * 2}"
)
IDENTITY = UUID(int=1)


async def messages(count: int) -> AsyncIterator[MessageRow]:
    """Yield a conversation of questions and answers with code."""
    for seq in range(1, count + 1):
        yield MessageRow(
            id=UUID(int=seq),
            conversation_id=IDENTITY,
            role="user" if seq % 2 else "assistant",
            content=f"Question {seq}: {SENTENCE}" if seq % 2 else REPLY,
            generated_code=None,
            metadata={},
            user_id=IDENTITY,
            is_summary=False,
            created_at=(START + timedelta(minutes=seq)).isoformat(),
            seq=seq,
            turn_id=None,
        )


async def main(count: int) -> None:
    """Make one PDF and print what it took."""
    conversation = ConversationRow(
        id=IDENTITY,
        user_id=IDENTITY,
        project_id=None,
        title=f"{count:,} messages",
        metadata={},
        last_seq=count,
        created_at=START.isoformat(),
        updated_at=(START + timedelta(minutes=count)).isoformat(),
        archived_at=None,
    )
    target = Path(gettempdir()) / "bench.pdf"
    begun = time.perf_counter()
    chunks = await render_pdf(conversation, messages(count), time_limit=3600)
    with target.open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)
    took = time.perf_counter() - begun
    own, child = (
        resource.getrusage(who).ru_maxrss // 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{count:,} messages: {took:.1f} s, {cpu.ru_utime + cpu.ru_stime:.1f} s of them computing"
    )
    print(f"largest process of the typesetter {child} MB, this one {own} MB")
    print(f"{target.stat().st_size / 1e6:.1f} MB: {target}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
