"""The parts of a message: which there are, what they say, which is a later state of which."""

from typing import Any

import pytest

from shared.encoding.parts import identity_of, problem_of, text_of, tool_name

CALL = {"type": "tool-weather", "toolCallId": "c1", "state": "input-available", "input": {}}
SOUND: list[dict[str, Any]] = [
    {"type": "text", "text": "Hi", "state": "done", "providerMetadata": {"openai": {"id": "1"}}},
    {"type": "reasoning", "text": "", "id": "r"},
    {
        "type": "file",
        "mediaType": "image/png",
        "url": "data:image/png;base64,AA==",
        "filename": "a",
    },
    {"type": "reasoning-file", "mediaType": "image/png", "url": "https://x.example/a.png"},
    {"type": "source-url", "sourceId": "s", "url": "https://x.example", "title": "X"},
    {"type": "source-document", "sourceId": "s", "mediaType": "application/pdf", "title": "X"},
    {"type": "step-start"},
    {"type": "custom", "kind": "openai.compaction"},
    {"type": "data-weather", "id": "d", "data": {"degrees": 3}},
    {"type": "data-none", "data": None},
    {"type": "steering-message", "id": "m", "parts": [{"type": "text", "text": "Shorter"}]},
    CALL,
    {**CALL, "state": "input-streaming", "rawInput": '{"ci'},
    {**CALL, "state": "approval-requested", "approval": {"id": "a", "signature": "s"}},
    {**CALL, "state": "approval-responded", "approval": {"id": "a", "approved": False}},
    {**CALL, "state": "output-available", "output": [1], "preliminary": True},
    {**CALL, "state": "output-error", "errorText": "No such city."},
    {**CALL, "state": "output-denied", "approval": {"id": "a", "approved": False}},
    {**CALL, "type": "dynamic-tool", "toolName": "weather", "unheard_of": True},
]
UNSOUND: list[tuple[Any, str]] = [
    ("text", "type"),
    (["text"], "type"),
    ({}, "type"),
    ({"type": None}, "type"),
    ({"type": "video"}, "type"),
    ({"type": "tool-", **{k: v for k, v in CALL.items() if k != "type"}}, "type"),
    ({"type": "data-", "data": 1}, "type"),
    ({"type": "text"}, "text"),
    ({"type": "text", "text": 1}, "text"),
    ({"type": "file", "mediaType": "image/png"}, "url"),
    ({"type": "data-weather"}, "data"),
    ({**CALL, "state": "done"}, "state"),
    ({**CALL, "toolCallId": ""}, "toolCallId"),
    ({**CALL, "type": "dynamic-tool"}, "toolName"),
    ({**CALL, "state": "output-error"}, "errorText"),
    ({**CALL, "state": "approval-requested"}, "approval"),
]


@pytest.mark.parametrize("part", SOUND, ids=lambda part: f"{part['type']} {part.get('state', '')}")
def test_a_part_of_the_ai_sdk_is_one(part: dict[str, Any]) -> None:
    """With whatever a provider or a later version has added."""
    assert problem_of(part) is None


@pytest.mark.parametrize(("part", "named"), UNSOUND, ids=lambda value: str(value)[:40])
def test_what_is_wrong_with_a_part_is_named(part: Any, named: str) -> None:
    """By the member that lacks or can't be what it is."""
    problem = problem_of(part)
    assert problem is not None
    assert named in problem


def test_texts_are_apart_where_another_part_sets_them_apart() -> None:
    """Neighbours are one text, and so are those with a source or data between."""
    text = [{"type": "text", "text": word} for word in ("a", "b", "c", "d")]
    source = {"type": "source-url", "sourceId": "s", "url": "https://x.example"}
    assert text_of([CALL, text[0], text[1], source, text[2], CALL, source, text[3]]) == "abc\n\nd"
    assert text_of([]) == ""
    assert text_of([CALL]) == ""


def test_a_later_state_is_known_by_its_id() -> None:
    """A tool call by that, whatever its type; data by type and id; text never."""
    dynamic = {**CALL, "type": "dynamic-tool", "toolName": "weather"}
    assert identity_of(CALL) == identity_of(dynamic)
    assert identity_of({"type": "data-a", "id": "1", "data": 1}) != identity_of(
        {"type": "data-b", "id": "1", "data": 1}
    )
    assert identity_of({"type": "data-a", "data": 1}) is None
    assert identity_of({"type": "text", "text": "", "id": "1"}) is None
    assert tool_name(CALL) == tool_name(dynamic) == "weather"
