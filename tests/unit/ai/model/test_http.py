"""The whole road to a provider: a real HTTP server that speaks OpenAI's protocol."""

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pydantic_ai.models
import pytest

import shared.ai
from shared.ai.model.analysis import Analyst
from shared.ai.model.engine import INSTRUCTIONS
from shared.ai.protocol import Analysis, Engine, EngineRequest, TextDelta
from shared.ai.streams import closing
from shared.encoding.files import GeneratedFile
from tests.support.fake_provider import PLAN, FakeProvider, Handler, running_provider, streaming
from tests.support.scripted_engine import record, rows
from tests.support.unit_settings import unit_settings

FILE = ["Sure:\n```py", "thon path=a.py\nx = 1\n``", "`\n"]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with running_provider() as server:
        yield server


@pytest.fixture
def held_until_classified(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that is held goes on once the request was classified."""
    ask = Analyst.analyse

    async def asked(*args: Any) -> Analysis:
        analysis = await ask(*args)
        provider.may_go_on.set()
        return analysis

    monkeypatch.setattr(Analyst, "analyse", asked)


def engine_for(provider: FakeProvider, **settings: Any) -> Engine:
    return engine_at(provider.base_url, engine_timeout=30, **settings)


def engine_at(base_url: str, **settings: Any) -> Engine:
    return shared.ai.engine_for(
        unit_settings(
            mega_mind_model="openai:m", mega_mind_base_url=base_url,
            mega_mind_api_key="sk-canary-1234", **settings,
        )
    )  # fmt: skip


@pytest.mark.usefixtures("held_until_classified")
async def test_a_request_goes_all_the_way_and_back(provider: FakeProvider) -> None:
    """Analysis, streamed text, the file in it, usage, history, model name and key."""
    provider.answer = streaming(*FILE, is_held=True)
    history = rows(("user", "Hi"), ("assistant", "Hello"))
    recording = await record(engine_for(provider), "Add 1 and 1", history)
    assert recording.analysis.model_dump(mode="json") == PLAN
    assert recording.text == recording.result.message == "".join(FILE)
    assert (recording.result.success, recording.result.finish_reason) == (True, None)
    assert recording.result.files == [
        GeneratedFile(path="a.py", language="python", content="x = 1\n")
    ]
    assert recording.result.usage is not None
    assert recording.result.usage.input_tokens >= 7
    reply, plan = provider.asked
    assert (plan["model"], reply["model"]) == ("m", "m")
    said = [(message["role"], message["content"]) for message in reply["messages"]]
    assert said[1:] == [("user", "Hi"), ("assistant", "Hello"), ("user", "Add 1 and 1")]
    assert said[0] == ("system", INSTRUCTIONS)
    assert provider.keys == ["Bearer sk-canary-1234"] * 2


@pytest.mark.usefixtures("held_until_classified")
async def test_a_classification_that_is_no_good_is_not_asked_for_again(
    provider: FakeProvider,
) -> None:
    """A model that chats where it should fill a form is left alone: the rules can do it."""
    provider.plan = lambda handler: handler.send_message({"content": "Hello to you too!"})
    provider.answer = streaming("Hello!", is_held=True)
    await record(engine_for(provider), "hello")
    assert len(provider.asked) == 2


async def test_without_classification_there_is_one_call(provider: FakeProvider) -> None:
    """And the model is told what the setting says."""
    provider.answer = streaming("Hello!")
    told = {"mega_mind_system_prompt": "You are a pirate."}
    engine = engine_for(provider, mega_mind_classification="rules", **told)
    recording = await record(engine, "Write a function")
    (asked,) = provider.asked
    assert asked["messages"][0] == {"role": "system", "content": "You are a pirate."}
    assert recording.analysis.intent == "create_function"


async def test_text_arrives_before_the_provider_has_finished(provider: FakeProvider) -> None:
    """Streaming is live: the server waits until the first piece was read here."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        handler.send_piece("first ")
        handler.server.may_go_on.wait()
        handler.send_piece("last", "stop")
        handler.end_stream()

    provider.answer = answer
    async with closing(engine_for(provider).run(EngineRequest("Hello there"))) as events:
        assert await anext(events) == TextDelta("first ")
        provider.may_go_on.set()
        assert TextDelta("last") in [event async for event in events]


@pytest.mark.promise("model fails")
@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "provider_error"),
        (401, "misconfigured"),
        (404, "misconfigured"),
        (429, "rate_limited"),
        (500, "provider_unavailable"),
        (503, "provider_unavailable"),
    ],
)
async def test_a_status_becomes_a_reason(
    provider: FakeProvider, status: int, error_type: str
) -> None:
    """What the provider answers decides the word; its body stays inside; retries are few."""
    error = {"error": {"message": "sk-canary-1234", "type": "x", "code": None}}
    provider.answer = lambda handler: handler.send_json(status, error)
    recording = await record(engine_for(provider))
    assert recording.error_type == error_type
    assert "canary" not in recording.result.model_dump_json()
    assert len(provider.asked) <= 3


@pytest.mark.parametrize(("status", "word"), [(429, "rate_limited"), (503, "provider_unavailable")])
async def test_a_provider_that_asks_for_patience_is_not_waited_for(
    provider: FakeProvider, status: int, word: str
) -> None:
    """Half a minute is more than a user has: the reply says at once what is wrong."""
    provider.answer = lambda handler: handler.send_json(status, {}, {"retry-after": "30"})
    recording = await record(engine_for(provider))
    assert (recording.error_type, len(provider.asked)) == (word, 1)


async def test_a_provider_that_is_away_for_a_moment_is_asked_once_more(
    provider: FakeProvider,
) -> None:
    """Its own pause is kept where it is a short one."""

    def answer(handler: Handler) -> None:
        provider.answer = streaming("Back.")
        handler.send_json(503, {}, {"retry-after": "0.01"})

    provider.answer = answer
    assert (await record(engine_for(provider))).result.message == "Back."


async def test_reasoning_in_tags_or_in_a_field_is_kept_apart(provider: FakeProvider) -> None:
    """Servers differ in how they mark it."""
    provider.answer = streaming("<think>\n", "Hm.", "\n</think>", "\n\nSouth.")
    in_tags = (await record(engine_for(provider))).result
    provider.answer = streaming("South.", reasoning="Hm.")
    in_a_field = (await record(engine_for(provider))).result
    assert (in_tags.message, in_tags.reasoning) == ("South.", "Hm.")
    assert (in_a_field.message, in_a_field.reasoning) == ("South.", "Hm.")


async def test_html_instead_of_an_answer_is_a_failure(provider: FakeProvider) -> None:
    """A proxy's page with status 200 is no reply."""

    def answer(handler: Handler) -> None:
        handler.send_json(200, "<html>")

    provider.answer = answer
    assert not (await record(engine_for(provider))).result.success


async def test_a_connection_cut_mid_stream_keeps_the_text(provider: FakeProvider) -> None:
    """What came before the cut is stored, marked as failed."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        handler.send_piece("Half")
        handler.close_connection = True

    provider.answer = answer
    recording = await record(engine_for(provider))
    assert (recording.error_type, recording.result.message) == ("provider_unavailable", "Half")


@pytest.mark.parametrize(
    ("reason", "flag", "error_type"),
    [(None, "unknown", None), ("length", "length", None), ("content_filter", None, "refused")],
)
async def test_how_a_stream_ended_is_kept(
    provider: FakeProvider, reason: str | None, flag: str | None, error_type: str | None
) -> None:
    """One that may have been cut says so; a provider's filter is not taken for a fault."""
    provider.answer = streaming("Half", finish_reason=reason)
    recording = await record(engine_for(provider))
    assert (recording.result.message, recording.error_type) == ("Half", error_type)
    assert error_type or recording.result.finish_reason == flag


async def test_odd_characters_survive_the_wire(provider: FakeProvider) -> None:
    """NUL and a lone surrogate in the provider's JSON reach the turn, which escapes them."""
    provider.answer = streaming("a\x00b", "c\ud83dd", "\ud83d", "\ude00")
    recording = await record(engine_for(provider))
    assert recording.text == recording.result.message == "a\x00bc\ud83dd😀"


async def test_a_server_that_is_down_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listening is a reason of its own."""
    monkeypatch.setattr(pydantic_ai.models, "ALLOW_MODEL_REQUESTS", True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        url = f"http://127.0.0.1:{gone.server_port}/v1"
    recording = await record(engine_at(url))
    assert recording.error_type == "provider_unavailable"
