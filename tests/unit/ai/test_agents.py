"""Somebody's own AI as an engine: what it may yield, and what is said of one that is none."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.ai.agents import AgentEngine, AgentOutput, ReplyMetadata, as_engine, load_engine
from shared.ai.limits import Limited
from shared.ai.offline.engine import OfflineEngine
from shared.ai.protocol import Analysis, Complexity, EngineError, EngineRequest, Intent, Usage
from shared.encoding.files import GeneratedFile
from tests.support.scripted_engine import record, rows

PLAN = Analysis(intent=Intent.PLAN, complexity=Complexity.SIMPLE, strategy="clarify")


async def greeter(asked: EngineRequest) -> AsyncIterator[str]:
    yield "Hello, "
    yield f"{asked.text} after {len(asked.history)}."


def giving(*outputs: Any) -> AgentEngine:
    async def agent(_: EngineRequest) -> AsyncIterator[AgentOutput]:
        for output in outputs:
            if isinstance(output, BaseException):
                raise output
            yield output

    return AgentEngine(agent, name="mine")


async def test_a_generator_of_strings_is_enough() -> None:
    """Its text is streamed as it comes, and is the reply."""
    recording = await record(as_engine(greeter), "Ada", rows(("user", "Hi"), ("assistant", "Ho")))
    assert recording.text == recording.result.message == "Hello, Ada after 2."
    assert (recording.result.success, recording.result.engine) == (True, "greeter")


async def test_an_agent_gives_what_belongs_to_the_text() -> None:
    """Analysis, usage, files and metadata of its own."""
    file = GeneratedFile(path="a.py", language="python", content="x\n")
    usage = Usage(input_tokens=1, output_tokens=2)
    recording = await record(
        giving("Text", PLAN, usage, file, ReplyMetadata({"a": 1}), ReplyMetadata({"b": 2}))
    )
    assert recording.analysis == PLAN
    result = recording.result
    assert (result.usage, result.files, result.metadata) == (usage, [file], {"a": 1, "b": 2})


async def test_an_agent_gives_parts_between_its_text() -> None:
    """Each as it comes, in its place."""
    source = {"type": "source-url", "sourceId": "1", "url": "https://example.com"}
    recording = await record(giving("Look: ", source, "there."))
    assert [type(event).__name__ for event in recording.events] == [
        "TextDelta", "PartReady", "TextDelta", "Finished",
    ]  # fmt: skip
    assert recording.result.message == "Look: there."


@pytest.mark.parametrize(
    ("output", "error_type"),
    [
        (RuntimeError("secret"), "provider_error"),
        (EngineError(type="over_quota", message="No more today."), "over_quota"),
        (object(), "provider_error"),
        ({"type": "no-such-part"}, "provider_error"),
        (ReplyMetadata({"a": float("nan")}), "provider_error"),
        (ReplyMetadata({"a": "x" * 600_000}), "provider_error"),
    ],
)
async def test_a_failure_keeps_the_text_so_far(output: Any, error_type: str) -> None:
    """What an agent raises, says, or can't give; what it took stays counted."""
    usage = Usage(input_tokens=1, output_tokens=2)
    recording = await record(Limited(giving(usage, "Half", output)))
    assert (recording.error_type, recording.result.message) == (error_type, "Half")
    assert recording.result.usage == usage
    assert "secret" not in recording.result.model_dump_json()


async def answer(asked: EngineRequest) -> str:
    return asked.text


@pytest.mark.parametrize("agent", [None, "text", answer, OfflineEngine])
def test_what_is_no_agent_is_refused_when_it_is_given(agent: Any) -> None:
    """Not when the first user asks."""
    with pytest.raises(ValueError, match="is no agent"):
        as_engine(agent)


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_agents", raising=False)
    path = tmp_path / "their_agents.py"
    path.write_text(
        "from shared.ai import OfflineEngine\n"
        "async def agent(asked):\n    yield asked.text\n"
        "engine = OfflineEngine()\nnumber = 3\n"
    )


async def test_an_engine_is_found_by_its_name() -> None:
    """An agent, or an object that is an engine already."""
    recording = await record(load_engine("their_agents:agent"), "Echo")
    assert (recording.text, recording.result.engine) == ("Echo", "their_agents:agent")
    assert load_engine("their_agents:engine").name == "offline"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("their_agents", "is not of the form"),
        ("no_such_module:agent", "can't be imported: ModuleNotFoundError"),
        ("their_agents:other", "has no 'other'"),
        ("their_agents:number", "is no agent"),
    ],
)
def test_an_engine_that_is_not_there_is_named_in_one_line(path: str, says: str) -> None:
    """So that whoever starts the service knows what to mend."""
    with pytest.raises(ValueError, match=says) as raised:
        load_engine(path)
    assert "\n" not in str(raised.value)
