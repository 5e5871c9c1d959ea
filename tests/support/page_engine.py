"""The AI behind the page in its tests: in no hurry where it is asked to answer at length."""

from collections.abc import AsyncIterator

from shared.ai.offline.engine import OfflineEngine
from shared.ai.protocol import EngineEvent, EngineRequest

WORD_SECONDS = 0.1


class PageEngine:
    """Answers as the offline engine does: at once, or by the word while somebody looks on."""

    name = OfflineEngine.name

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield what the offline engine does."""
        delay = WORD_SECONDS if "at length" in asked.text else 0
        async for event in OfflineEngine(delay=delay).run(asked):
            yield event


engine = PageEngine()
