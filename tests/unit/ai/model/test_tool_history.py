"""Calls of tools in a history: providers refuse one without its result, and the other way round."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart

from shared.ai import engine_for
from shared.ai.history import NO_RESULT
from shared.ai.model import messages
from shared.ai.model.items import model_items
from shared.ai.model.messages import as_conversation, as_messages
from shared.ai.protocol import EngineRequest, HistoryMessage
from tests.support.fake_provider import FakeProvider, running_provider, strictly
from tests.support.scripted_engine import Recording, record
from tests.support.unit_settings import unit_settings

CALL = {"type": "tool-weather", "toolCallId": "c1", "input": {"at": "X"}}
STATES: dict[str, dict[str, Any]] = {
    "input-streaming": {"rawInput": '{"a'},
    "input-available": {},
    "approval-requested": {"approval": {"id": "a"}},
    "approval-responded": {"approval": {"id": "a", "approved": True}},
    "output-available": {"output": {"degrees": 3}},
    "output-error": {"errorText": "No such city."},
    "output-denied": {"approval": {"id": "a", "approved": False}},
}


def text(words: str) -> dict[str, Any]:
    """Return a text part."""
    return {"type": "text", "text": words}


def history(*parts: dict[str, Any], failure: str | None = None) -> list[HistoryMessage]:
    """Return a question and a reply of these parts."""
    content = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
    return [
        HistoryMessage(seq=1, role="user", content="Is it cold?"),
        HistoryMessage(
            seq=2, role="assistant", content=content, parts=list(parts), failure=failure
        ),
    ]


def call(state: str, **changed: Any) -> dict[str, Any]:
    """Return a call in this state."""
    return {**CALL, "state": state, **STATES[state], **changed}


def require_answered(messages: list[ModelMessage]) -> None:
    """Refuse what Anthropic does: results come right behind their calls, all of them, and first."""
    open_calls: list[str] = []
    for message in messages:
        results = [p.tool_call_id for p in message.parts if isinstance(p, ToolReturnPart)]
        assert sorted(results) == sorted(open_calls)
        assert all(isinstance(p, ToolReturnPart) for p in message.parts[: len(results)])
        is_reply = isinstance(message, ModelResponse)
        open_calls = [p.tool_call_id for p in message.parts if isinstance(p, ToolCallPart)]
        assert is_reply or not open_calls
    assert not open_calls


@pytest.mark.parametrize("state", STATES)
def test_each_call_has_a_result_whatever_its_state(state: str) -> None:
    """One that never got it has an error for one; what is stored stays as it is."""
    rows = history(text("Let me look."), call(state), text("Cold."))
    before = [row.model_copy(deep=True) for row in rows]
    given = as_conversation("And now?", rows, instructions="i")
    require_answered(given)
    assert rows == before
    (result,) = (p for m in given for p in m.parts if isinstance(p, ToolReturnPart))
    said = {"output-available": {"degrees": 3}, "output-error": "No such city."}
    denied = "The user did not allow this call."
    assert result.content == said.get(state, denied if state == "output-denied" else NO_RESULT)


def test_calls_at_once_are_answered_at_once_and_steps_one_after_the_other() -> None:
    """As the provider had made them."""
    at_once = [call("output-available"), call("input-available", toolCallId="c2")]
    later = call("output-available", toolCallId="c3")
    given = as_messages(history(*at_once, {"type": "step-start"}, later, text("Cold.")))
    require_answered(given)
    calls = [[p.tool_call_id for p in m.parts if isinstance(p, ToolCallPart)] for m in given]
    assert [ids for ids in calls if ids] == [["c1", "c2"], ["c3"]]


def test_a_crash_in_a_call_leaves_a_history_that_can_be_followed() -> None:
    """A reply without any text, too, which says that it was interrupted."""
    rows = history(call("input-available"), failure="interrupted")
    given = as_conversation("Go on", rows, instructions="i")
    require_answered(given)
    assert "interrupted" in str(given)


def test_reasoning_sources_and_a_replys_files_are_not_given_again() -> None:
    """The text of such a reply is all there is of it."""
    file = {"type": "file", "mediaType": "text/plain", "url": "data:text/plain,x"}
    rows = history({"type": "reasoning", "text": "Hm."}, text("Cold."), file)
    (_, reply) = as_messages(rows)
    assert [part.content for part in reply.parts] == ["Cold."]  # type: ignore[union-attr]


@pytest.fixture
def strict() -> Iterator[FakeProvider]:
    """A provider that refuses what OpenAI's does."""
    with running_provider() as provider:
        provider.answer = strictly("Fine.")
        yield provider


async def answer_of(provider: FakeProvider, state: str) -> Recording:
    """Ask after a reply with a call in this state."""
    settings = unit_settings(
        mega_mind_model="openai:m", mega_mind_base_url=provider.base_url,
        mega_mind_classification="rules",
    )  # fmt: skip
    return await record(engine_for(settings), "And now?", history(call(state), text("Cold.")))


@pytest.mark.parametrize("state", STATES)
async def test_a_strict_provider_takes_the_history(strict: FakeProvider, state: str) -> None:
    """The tools that were called are named to it, and it may call none."""
    assert (await answer_of(strict, state)).text == "Fine."
    (asked,) = strict.asked
    assert asked["tool_choice"] == "none"
    assert json.dumps(asked["tools"]).count('"weather"') == 1


async def test_negative_control_the_strict_provider_refuses_an_open_call(
    strict: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is given without its result."""
    monkeypatch.setattr(
        messages, "model_items", lambda row: [i for i in model_items(row) if i[0] == "model"]
    )
    assert not (await answer_of(strict, "input-available")).result.success


def test_files_of_a_request_are_given_as_models_take_them() -> None:
    """An image as it is, a text as text, and the name of what none of them reads."""
    files = [
        {"type": "file", "mediaType": kind, "filename": name, "url": url}
        for kind, name, url in (
            ("image/png", "a.png", "data:image/png;base64,AAAA"),
            ("text/csv", "b.csv", "data:text/csv;base64,MSwy"),
            ("application/zip", "c.zip", "data:application/zip;base64,AAAA"),
            ("image/png", "d.png", "https://x.example/d.png"),
            ("image/png", "e.png", "data:nonsense"),
        )
    ]
    (message,) = as_conversation("Look", [], instructions="i", parts=[text("Look"), *files])
    content: Any = message.parts[0].content  # type: ignore[union-attr]
    assert content[0] == "Look"
    assert (content[1].media_type, content[1].data) == ("image/png", b"\0\0\0")
    assert content[2:4] == ["b.csv:\n\n1,2", "[File: c.zip]"]
    assert content[4].url == "https://x.example/d.png"
    assert content[5] == "[File: e.png]"
    assert EngineRequest("Look").parts == ()
