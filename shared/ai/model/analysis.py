"""The analysis of a request by the model: one short call, for which the reply never waits.

It sees little history, has a time limit of its own, and where it fails for any reason, or isn't
there when the reply ends, the fixed rules stand in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

import structlog
from pydantic import BaseModel, Field
from pydantic_ai import Agent

from ..offline.rules import analyse
from ..protocol import Analysis, AnalysisReady, Complexity, Intent, Strategy
from .messages import as_messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

    from ..protocol import EngineRequest

ANALYSIS_SECONDS: Final = 15.0
ANALYSIS_HISTORY: Final = 6
ANALYSIS_CHARS: Final = 4_000

INSTRUCTIONS: Final = """\
Classify the user's latest request to an AI development platform. Do not answer it. \
Earlier messages are only context."""

_log = structlog.get_logger(__name__)


class _Plan(BaseModel):
    """The analysis as the model is asked for it."""

    intent: Intent = Field(description="What kind of thing the user asks for.")
    complexity: Complexity = Field(description="How much work the request asks for.")
    strategy: Strategy = Field(description="The best way to answer it.")


class Analyst:
    """Asks a model for analyses; `name` is the engine's, for the log."""

    def __init__(self, model: Model, *, name: str) -> None:
        self._name = name
        self._agent = Agent(
            model,
            output_type=_Plan,
            instructions=INSTRUCTIONS,
            model_settings={"max_retries": 0},
            retries=0,  # a model that can't fill the form is not asked again: the rules can
        )

    async def analyse(self, asked: EngineRequest, usage: RunUsage) -> Analysis:
        """Return the model's analysis, or that of the rules; add what it took to `usage`."""
        recent = [
            row.model_copy(update={"content": row.content[:ANALYSIS_CHARS], "parts": []})
            for row in asked.history[-ANALYSIS_HISTORY:]
        ]
        try:
            async with asyncio.timeout(ANALYSIS_SECONDS):
                run = await self._agent.run(
                    asked.text[:ANALYSIS_CHARS], message_history=as_messages(recent), usage=usage
                )
        except Exception as exc:  # noqa: BLE001 - the rules stand in, whatever went wrong
            _log.info("analysis_by_rules", engine=self._name, error=type(exc).__name__)
            return analyse(asked.text)
        return Analysis.model_validate(run.output.model_dump())


class AnalysisBeside:
    """One analysis in a task of its own, given out once; leaving the block stops it."""

    def __init__(self, asked: EngineRequest) -> None:
        self._asked = asked
        self._task: asyncio.Task[Analysis] | None = None
        self._is_given = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def start(self, analyst: Analyst | None, usage: RunUsage) -> None:
        """Ask the analyst, if there is one."""
        if analyst is not None:
            self._task = asyncio.create_task(analyst.analyse(self._asked, usage))

    def ready(self) -> Iterator[AnalysisReady]:
        """Yield the analysis when it has come."""
        if not self._is_given and self._task is not None and self._task.done():
            self._is_given = True
            yield AnalysisReady(self._task.result())

    def last(self) -> list[AnalysisReady]:
        """Return the analysis if it was not given yet; the rules make what isn't there by now."""
        if self._is_given:
            return []
        return list(self.ready()) or [AnalysisReady(analyse(self._asked.text))]
