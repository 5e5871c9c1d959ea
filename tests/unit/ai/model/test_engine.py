"""The model engine against pydantic-ai's test models: no network, every kind of answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pydantic_ai.models
import pytest
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from shared.ai.limits import Limited
from shared.ai.model.analysis import ANALYSIS_CHARS, Analyst
from shared.ai.model.engine import ModelEngine
from shared.ai.protocol import Analysis, Complexity, EngineRequest, TextDelta
from shared.ai.streams import closing
from tests.support.scripted_engine import record, rows

PLAN = {"intent": "create_function", "complexity": "moderate", "strategy": "generate_code"}
SECRET = "sk-canary-1234"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic_ai.models, "ALLOW_MODEL_REQUESTS", False)


def plan(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer the analysis call as a good model would."""
    call = ToolCallPart(info.output_tools[0].name, PLAN)
    return ModelResponse(parts=[call], usage=RequestUsage(input_tokens=10, output_tokens=5))


def talking(
    *pieces: str | Exception | asyncio.Event, plan: Callable[..., Any] = plan
) -> FunctionModel:
    """Return a model that streams these pieces, raises the exceptions, and waits for events."""

    async def stream(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    return FunctionModel(plan, stream_function=stream)


def engine_of(model: Model) -> ModelEngine:
    return ModelEngine(model, name="test:model")


async def test_usage_is_the_sum_of_both_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The analysis is paid for as well."""
    is_classified = asyncio.Event()
    ask = Analyst.analyse

    async def asked(*args: Any) -> Analysis:
        analysis = await ask(*args)
        is_classified.set()
        return analysis

    monkeypatch.setattr(Analyst, "analyse", asked)
    usage = (await record(engine_of(talking("Hello there", is_classified)))).result.usage
    assert usage is not None
    assert usage.input_tokens >= 10
    assert usage.output_tokens > 5
    assert usage.requests == 2


async def test_pydantic_ais_own_test_model_is_answered() -> None:
    """The schema of the analysis is one that a tool-calling model can fill."""
    recording = await record(engine_of(TestModel(custom_output_text="Fine.")))
    assert (recording.result.success, recording.result.message) == (True, "Fine.")
    assert recording.analysis.complexity in set(Complexity)


async def test_the_analysis_sees_little_of_a_long_conversation() -> None:
    """The first call stays cheap, however long the chat and the request are."""
    sizes: list[int] = []
    is_planned = asyncio.Event()

    def measuring(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        parts = [part for message in messages for part in message.parts]
        sizes.append(sum(len(str(getattr(part, "content", ""))) for part in parts))
        is_planned.set()
        return plan(messages, info)

    history = rows(*[("user", "x" * 50_000), ("assistant", "y" * 50_000)] * 20)
    model = talking("ok", is_planned, plan=measuring)
    await record(engine_of(model), "z" * 500_000, history)
    assert sizes[0] <= ANALYSIS_CHARS * 8


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ModelResponse(parts=[TextPart("I am no good at structure.")]),
        lambda: ModelResponse(parts=[ToolCallPart("final_result", {"strategy": 1})]),
        lambda: (_ for _ in ()).throw(ModelHTTPError(400, "m", "tools are not supported")),
        lambda: (_ for _ in ()).throw(RuntimeError("bug")),
    ],
)
async def test_a_failed_analysis_does_not_cost_the_reply(
    answer: Callable[[], ModelResponse],
) -> None:
    """The rules stand in for a model that can't do structured output."""
    model = talking("The reply", plan=lambda _, __: answer())
    recording = await record(engine_of(model), "Write a function. Please.")
    assert recording.analysis.intent == "create_function"
    assert recording.result.message == "The reply"


async def test_text_does_not_wait_for_an_analysis_that_hangs() -> None:
    """The first piece comes at once, and the rules stand in soon after the last one."""

    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await asyncio.Event().wait()
        raise AssertionError

    recording = await record(engine_of(talking("The reply", plan=hang)), "Fix this bug")
    assert isinstance(recording.events[0], TextDelta)
    assert (recording.result.success, recording.analysis.intent) == (True, "fix_bug")


async def test_a_run_that_is_left_takes_its_analysis_along() -> None:
    """No call to the provider outlives the turn."""
    is_begun, is_stopped = asyncio.Event(), asyncio.Event()

    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        is_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_stopped.set()
        raise AssertionError

    model = talking("One", is_begun, "Two", asyncio.Event(), plan=hang)
    async with closing(engine_of(model).run(EngineRequest("Hi"))) as events:
        assert [await anext(events), await anext(events)] == [TextDelta("One"), TextDelta("Two")]
    await asyncio.wait_for(is_stopped.wait(), 30)


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (ModelHTTPError(429, "m", {"key": SECRET}), "rate_limited"),
        (ModelHTTPError(401, "m", SECRET), "misconfigured"),
        (ModelHTTPError(403, "m", SECRET), "misconfigured"),
        (ModelHTTPError(404, "m", SECRET), "misconfigured"),
        (ModelHTTPError(408, "m", SECRET), "timeout"),
        (ModelHTTPError(500, "m", SECRET), "provider_unavailable"),
        (ModelHTTPError(529, "m", SECRET), "provider_unavailable"),
        (ModelHTTPError(400, "m", SECRET), "provider_error"),
        (ModelRateLimitError("m", SECRET), "rate_limited"),
        (ModelQuotaExceededError("m", SECRET), "rate_limited"),
        (ModelAuthenticationError("m", SECRET), "misconfigured"),
        (ModelOverloadedError("m", SECRET), "provider_unavailable"),
        (ModelServerError("m", SECRET), "provider_unavailable"),
        (ModelTimeoutError("m", SECRET), "timeout"),
        (ModelConnectionError("m", SECRET), "provider_unavailable"),
        (ModelRequestTimeout("m", 3), "timeout"),
        (ContentFilterError(SECRET), "refused"),
        (UnexpectedModelBehavior(SECRET, SECRET), "provider_error"),
        (ModelAPIError("m", SECRET), "provider_error"),
        (UserError(SECRET), "misconfigured"),
        (ConnectionResetError(SECRET), "provider_unavailable"),
        (TimeoutError(SECRET), "timeout"),
        (ValueError(SECRET), "provider_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("partial", ["", "Half of "])
async def test_a_providers_failure_is_a_reply_with_a_reason(
    error: Exception, error_type: str, partial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first piece or after it, the reason is a stable word and nothing leaks."""
    pieces = [piece for piece in (partial, error) if piece]
    recording = await record(engine_of(talking(*pieces)))
    assert not recording.result.success
    assert recording.error_type == error_type
    assert recording.result.message == (partial or recording.result.error.message)  # type: ignore[union-attr]
    assert SECRET not in recording.result.model_dump_json()
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err


async def test_an_empty_stream_is_a_failure() -> None:
    """A provider that says nothing has not answered."""
    recording = await record(engine_of(talking("")))
    assert recording.error_type == "empty_reply"


async def test_a_model_that_hangs_is_timed_out_with_its_text_kept() -> None:
    """The total limit reaches into the provider's stream and closes it."""
    is_closed = asyncio.Event()

    async def stream(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        try:
            yield "So far"
            await asyncio.Event().wait()
        finally:
            is_closed.set()

    model = FunctionModel(plan, stream_function=stream)
    recording = await record(Limited(engine_of(model), seconds=0.5))
    assert (recording.error_type, recording.result.message) == ("timeout", "So far")
    assert is_closed.is_set()
