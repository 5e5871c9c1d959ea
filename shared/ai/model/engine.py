"""The engine that asks a language model, through pydantic-ai: any provider it speaks to.

One call for each request is streamed and yields the reply, whose fenced code blocks with a path are
the files. A short one beside it classifies the request, unless that is left to fixed rules: it is
made once, and the reply never waits for it. A provider only has to stream text.

Import this module only where a model is configured: it pulls in pydantic-ai.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.usage import RequestUsage, RunUsage

from ...encoding.files import parse_files
from ..protocol import EngineResult, Finished, ReasoningDelta, TextDelta, Usage
from ..results import engine_error, failed_result
from .analysis import AnalysisBeside, Analyst
from .errors import error_for, pause_before_asking_again
from .messages import as_conversation, tools_of
from .reading import Reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, StreamedResponse
    from pydantic_ai.settings import ModelSettings

    from ..protocol import (
        Classification,
        EngineError,
        EngineEvent,
        EngineRequest,
        FinishReason,
    )

INSTRUCTIONS: Final = """\
You are a senior software engineer who helps the users of an AI development platform.
Answer what was asked, in the user's language, as Markdown. Be correct and to the point; where \
something needed is unknown, say what you assume or ask.
Write whole working files rather than fragments. Put each file into a fenced code block of its own \
whose first line names the language and a relative path, for example ```python path=src/app.py
Messages that are marked as notes of the platform are background about this conversation, \
not requests."""

_log = structlog.get_logger(__name__)


class ModelEngine:
    """Answers with a pydantic-ai model; `name` is the model's id, e.g. `openai:<model>`."""

    def __init__(
        self,
        model: Model,
        *,
        name: str,
        system_prompt: str | None = None,
        classification: Classification = "model",
    ) -> None:
        self.name: Final = name
        self._model = model
        self._instructions = system_prompt or INSTRUCTIONS
        self._analyst = Analyst(model, name=name) if classification == "model" else None

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield the reply as the provider streams it, the analysis beside it, and the result."""
        spent = RunUsage()
        reading = Reading()
        error: EngineError | None = None
        with AnalysisBeside(asked) as analysis:
            try:
                async with self._opened(asked) as stream:
                    analysis.start(self._analyst, spent)
                    async for event in stream:
                        piece = reading.take(event)
                        if thought := reading.thought():
                            yield ReasoningDelta(thought)
                        if piece:
                            yield TextDelta(piece)
                        for ready in analysis.ready():
                            yield ready
            except Exception as exc:  # noqa: BLE001 - a provider's failure is a reply too
                _log.warning("model_failed", engine=self.name, error=type(exc).__name__)
                error = error_for(exc)
            if rest := reading.end():
                yield TextDelta(rest)
            for ready in analysis.last():
                yield ready
        failed = error and self._failed(error, reading, _usage_of(None, spent))
        yield Finished(failed or self._result(reading, stream.get(), spent))

    @asynccontextmanager
    async def _opened(self, asked: EngineRequest) -> AsyncIterator[StreamedResponse]:
        """Open the reply's stream; a provider that is away for a moment is asked once more."""
        messages = as_conversation(
            asked.text, asked.history, instructions=self._instructions, parts=asked.parts
        )
        tools = tools_of(messages)
        settings: ModelSettings = {"max_retries": 0}
        if tools:  # of an agent that answered before: known, and not for this one to call
            settings["tool_choice"] = "none"
        ask = partial(
            model_request_stream,
            self._model,
            messages,
            model_settings=settings,
            model_request_parameters=ModelRequestParameters(function_tools=tools),
        )
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(ask())
            except Exception as exc:
                pause = pause_before_asking_again(exc)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
                stream = await stack.enter_async_context(ask())
            yield stream

    def _result(self, reading: Reading, response: ModelResponse, spent: RunUsage) -> EngineResult:
        text = reading.text
        usage = _usage_of(response, spent)
        error = _error_of(response, text)
        if error is not None:
            return self._failed(error, reading, usage)
        return EngineResult(
            success=True,
            message=text,
            files=parse_files(text),
            usage=usage,
            engine=self.name,
            reasoning=reading.reasoning,
            finish_reason=_finish_reason_of(response),
        )

    def _failed(
        self, error: EngineError, reading: Reading, usage: Usage | None = None
    ) -> EngineResult:
        return failed_result(
            error,
            engine=self.name,
            partial=reading.text,
            usage=usage,
            reasoning=reading.reasoning,
        )


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


def _finish_reason_of(response: ModelResponse) -> FinishReason | None:
    if response.finish_reason == "length":
        return "length"
    return "unknown" if _is_unexplained(response) else None


def _usage_of(response: ModelResponse | None, spent: RunUsage) -> Usage | None:
    """Return what the analysis and the reply cost, as far as that was reported."""
    reply = RequestUsage() if response is None else response.usage
    if response is None and not spent.requests:
        return None
    return Usage(
        input_tokens=spent.input_tokens + reply.input_tokens,
        output_tokens=spent.output_tokens + reply.output_tokens,
        requests=spent.requests + (response is not None),
        is_partial=not (reply.input_tokens or reply.output_tokens),
    )
