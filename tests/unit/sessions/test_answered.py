"""Tool calls that a crash cut off: given out as providers take them."""

from typing import Any

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from shared.sessions import pydantic_ai


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "add", "arguments": "{}"}


def result(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": "3"}


HELLO = {"role": "user", "content": "Hello"}


def answered(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the session gives the SDK, which is imported here: not by who only collects."""
    from shared.sessions import openai_agents

    return openai_agents.answered(items)


@pytest.mark.parametrize(
    ("items", "kinds"),
    [
        ([HELLO, call(1), result(1)], ["c1", "c1"]),
        ([HELLO, call(1)], ["c1", "c1"]),
        ([call(1), call(2), result(2), HELLO], ["c1", "c1", "c2", "c2"]),
        ([result(1), HELLO], []),
    ],
    ids=["whole", "cut", "one of two", "without its call"],
)
def test_each_call_of_the_agents_sdk_has_one_result(
    items: list[dict[str, Any]], kinds: list[str]
) -> None:
    """And nothing else is changed."""
    found = answered(items)
    assert [item["call_id"] for item in found if "call_id" in item] == kinds
    assert [item for item in found if item == HELLO] == [item for item in items if item == HELLO]


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
ANSWER = {"type": "message", "role": "assistant", "content": []}
SHELL = {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}}
DONE = {"type": "shell_call_output", "call_id": "s", "output": []}


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([THOUGHT, ANSWER, HELLO], [THOUGHT, ANSWER, HELLO]),
        ([THOUGHT, THOUGHT, call(1), result(1)], [THOUGHT, THOUGHT, call(1), result(1)]),
        ([HELLO, THOUGHT], [HELLO]),
        ([THOUGHT, HELLO], [HELLO]),
        ([call(1), THOUGHT, result(1)], [call(1), result(1)]),
        ([SHELL, DONE], [SHELL, DONE]),
        ([HELLO, THOUGHT, SHELL], [HELLO]),
        ([DONE, HELLO], [HELLO]),
    ],
)
def test_what_a_crash_or_a_limit_has_torn_apart_is_left_out(
    items: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> None:
    """Reasoning without what it led to, and calls whose result can't be made up."""
    assert answered(items) == kept


def said(text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)])


def returned(number: int) -> ToolReturnPart:
    return ToolReturnPart(tool_name="add", content="3", tool_call_id=f"c{number}")


def calling(*numbers: int) -> ModelMessage:
    return ModelResponse([ToolCallPart("add", {}, tool_call_id=f"c{n}") for n in numbers])


def test_each_call_of_pydantic_ai_has_one_result() -> None:
    """Cut off, alone or beside another, or without its call."""
    whole = [said("Hello"), calling(1), ModelRequest([returned(1)]), ModelResponse([TextPart("3")])]
    assert pydantic_ai.answered(whole) == whole
    cut = pydantic_ai.answered([said("Hello"), calling(1, 2), ModelRequest([returned(2)])])
    ids = [str(getattr(part, "tool_call_id", "")) for one in cut for part in one.parts]
    assert sorted(filter(None, ids)) == ["c1", "c1", "c2", "c2"]
    hello = said("Hello")
    assert pydantic_ai.answered([ModelRequest([returned(1)]), hello]) == [hello]
