"""The engine that asks a language model, through pydantic-ai: any provider it speaks to.

Two calls for each request. A short structured one first yields the analysis; a streamed one then
yields the reply, whose fenced code blocks with a path are the files. One call with a tool for the
plan and one for files would need as many requests (a tool call is a round trip of its own), send
the whole history twice, keep files out of the stream, and rest on tool calling, which small local
models lack. Here a provider only has to stream text.

The analysis must never cost the user the reply: it sees little history, has a short time limit of
its own, and where it fails for any reason the fixed rules stand in. If the provider itself is at
fault, the second call says so.

Import this module only where a model is configured: it pulls in pydantic-ai.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import BaseModel, Field
from pydantic_ai import Agent
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.usage import RunUsage

from shared.ai.files import parse_files
from shared.ai.model.errors import error_for
from shared.ai.model.messages import as_conversation, as_messages
from shared.ai.offline.rules import analyse, shortened
from shared.ai.protocol import (
    Analysis,
    AnalysisReady,
    Complexity,
    EngineResult,
    Finished,
    Strategy,
    TextDelta,
    Usage,
)
from shared.ai.results import engine_error, failed_result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import Model, StreamedResponse
    from pydantic_ai.settings import ModelSettings

    from shared.ai.protocol import EngineError, EngineEvent, HistoryMessage

ANALYSIS_SECONDS: Final = 15.0
ANALYSIS_HISTORY: Final = 6
ANALYSIS_CHARS: Final = 4_000
MAX_SDK_RETRIES: Final = 1

INSTRUCTIONS: Final = """\
You are a senior software engineer who helps the users of an AI development platform.
Answer what was asked, in the user's language, as Markdown. Be correct and to the point; where \
something needed is unknown, say what you assume or ask.
Write whole working files rather than fragments. Put each file into a fenced code block of its own \
whose first line names the language and a relative path, for example ```python path=src/app.py
Messages that are marked as notes of the platform are background about this conversation, \
not requests."""

ANALYSIS_INSTRUCTIONS: Final = """\
Classify the user's latest request to an AI development platform. Do not answer it. \
Earlier messages are only context."""

_log = structlog.get_logger(__name__)


class _Plan(BaseModel):
    """The analysis as the model is asked for it."""

    goal: str = Field(description="What the user wants, in one short sentence.")
    complexity: Complexity = Field(description="How much work the request asks for.")
    strategy: Strategy = Field(description="The best way to answer it.")


class ModelEngine:
    """Answers with a pydantic-ai model; `name` is the model's id, e.g. `openai:<model>`."""

    def __init__(
        self, model: Model, *, name: str, analysis_seconds: float = ANALYSIS_SECONDS
    ) -> None:
        self.name: Final = name
        self._model = model
        self._analysis_seconds = analysis_seconds
        self._settings: ModelSettings = {"max_retries": MAX_SDK_RETRIES}
        self._analyst = Agent(
            model,
            output_type=_Plan,
            instructions=ANALYSIS_INSTRUCTIONS,
            model_settings=self._settings,
            retries=1,
        )

    async def run(
        self, *, request: str, history: Sequence[HistoryMessage]
    ) -> AsyncIterator[EngineEvent]:
        """Yield the analysis, the reply as the provider streams it, and the result."""
        usage = RunUsage()
        yield AnalysisReady(await self._analyse(request, history, usage))
        text: list[str] = []
        try:
            messages = as_conversation(request, history, instructions=INSTRUCTIONS)
            async with model_request_stream(
                self._model, messages, model_settings=self._settings
            ) as stream:
                async for event in stream:
                    if piece := _text_of(event):
                        text.append(piece)
                        yield TextDelta(piece)
            result = self._result("".join(text), stream, usage)
        except Exception as exc:  # noqa: BLE001 - a provider's failure is a reply too
            _log.warning("model_failed", engine=self.name, error=type(exc).__name__)
            result = failed_result(error_for(exc), engine=self.name, partial="".join(text))
        yield Finished(result)

    async def _analyse(
        self, request: str, history: Sequence[HistoryMessage], usage: RunUsage
    ) -> Analysis:
        recent = [
            row.model_copy(update={"content": row.content[:ANALYSIS_CHARS]})
            for row in history[-ANALYSIS_HISTORY:]
        ]
        try:
            async with asyncio.timeout(self._analysis_seconds):
                run = await self._analyst.run(
                    request[:ANALYSIS_CHARS], message_history=as_messages(recent), usage=usage
                )
        except Exception as exc:  # noqa: BLE001 - the rules stand in, whatever went wrong
            _log.info("analysis_by_rules", engine=self.name, error=type(exc).__name__)
            return analyse(request)
        plan = run.output
        goal = shortened(plan.goal) or analyse(request).goal
        return Analysis(goal=goal, complexity=plan.complexity, strategy=plan.strategy)

    def _result(self, text: str, stream: StreamedResponse, spent: RunUsage) -> EngineResult:
        response = stream.get()
        usage = _usage_of(response, spent)
        error = _error_of(response, text)
        if error is not None:
            return failed_result(error, engine=self.name, partial=text, usage=usage)
        return EngineResult(
            success=True,
            message=text,
            files=parse_files(text),
            usage=usage,
            engine=self.name,
            truncated=response.finish_reason == "length" or _is_unexplained(response),
        )


def _text_of(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _error_of(response: ModelResponse, text: str) -> EngineError | None:
    """Return why a stream that ended without an exception is no good reply."""
    if response.finish_reason == "content_filter":
        return engine_error("refused")
    is_cut = response.finish_reason is None and _is_unexplained(response)
    if is_cut or response.finish_reason == "error" or response.state != "complete":
        return engine_error("provider_error")
    return None if text.strip() else engine_error("empty_reply")


def _is_unexplained(response: ModelResponse) -> bool:
    """Say whether a provider (the test models are none) gave no reason for stopping.

    Some OpenAI-compatible servers never give one, and pydantic-ai then assumes that the reply is
    whole; the same silence follows a cut behind a proxy.
    """
    reported = (response.provider_details or {}).get("finish_reason")
    return response.provider_url is not None and reported is None


def _usage_of(response: ModelResponse, spent: RunUsage) -> Usage:
    return Usage(
        input_tokens=spent.input_tokens + response.usage.input_tokens,
        output_tokens=spent.output_tokens + response.usage.output_tokens,
        requests=spent.requests + 1,
    )
