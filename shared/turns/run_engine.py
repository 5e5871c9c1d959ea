"""Runs an engine once, to its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ai.protocol import AnalysisReady, Finished, TextDelta
from shared.ai.streams import closing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.ai.protocol import Analysis, Engine, EngineResult, HistoryMessage


async def run_engine(
    engine: Engine,
    *,
    request: str,
    history: Sequence[HistoryMessage],
    on_analysis: Callable[[Analysis], None],
    on_text: Callable[[str], None],
) -> EngineResult:
    """Read an engine's events to the last one; return its result."""
    async with closing(engine.run(request=request, history=history)) as events:
        async for event in events:
            match event:
                case AnalysisReady():
                    on_analysis(event.analysis)
                case TextDelta():
                    on_text(event.text)
                case Finished():
                    return event.result
    raise RuntimeError("an engine ended without a result")
