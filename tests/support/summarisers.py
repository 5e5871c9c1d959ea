"""Summarisers that do what a test needs: wait, fail, hang, or return anything."""

import asyncio
from collections.abc import Callable, Sequence

from shared.ai.protocol import HistoryMessage, SummaryText, Usage


class ScriptedSummariser:
    """Returns one text, and remembers what it was asked with.

    `hold` makes every call wait for `release`; `started` is set when one has begun.
    """

    name = "scripted"

    def __init__(
        self, text: str = "Summed up.", *, hold: bool = False, error: Exception | None = None
    ) -> None:
        self.text = text
        self.error = error
        self.usage: Usage | None = None
        self.asked: list[tuple[list[int], str | None]] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.on_call: Callable[[], None] = lambda: None
        if not hold:
            self.release.set()

    async def summarise(
        self, messages: Sequence[HistoryMessage], *, previous: str | None, tokens: int
    ) -> SummaryText:
        """Return the text or raise the error."""
        self.asked.append(([message.seq for message in messages], previous))
        self.started.set()
        await self.release.wait()
        self.on_call()
        if self.error is not None:
            raise self.error
        return SummaryText(text=self.text, usage=self.usage)
