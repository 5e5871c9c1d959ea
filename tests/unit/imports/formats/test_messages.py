"""Lists of messages: roles, blocks and what stands beside them, as each system writes them."""

from typing import Any

import pytest

from shared.encoding.parts import text_of
from shared.imports.parsed import ParsedConversation
from tests.support.imported import conversations_in, parts_of, words_of

ASK = {"role": "user", "content": "Q"}


def only(content: Any) -> ParsedConversation:
    """Return the only conversation of a file."""
    (conversation,) = conversations_in(content)
    return conversation


def steps_of(conversation: ParsedConversation) -> list[dict[str, Any]]:
    """Return what was done on the way to the last reply."""
    steps: list[dict[str, Any]] = conversation.messages[-1].metadata["imported"]["steps"]
    return steps


OPENAI = [
    {"role": "developer", "content": "D"},
    ASK,
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
    {"role": "tool", "tool_call_id": "c", "content": "20 C"},
    {"role": "assistant", "content": "A", "refusal": None},
]
ANTHROPIC = {
    "system": [{"type": "text", "text": "D"}],
    "messages": [
        ASK,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "get"}]},
        {"role": "user", "content": [{"type": "tool_result", "content": "20 C"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A"}]},
    ],
}
RESPONSES = [
    {"type": "message", "role": "developer", "content": "D"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Q"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "20 C"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
]
LANGCHAIN = [
    {"type": "system", "data": {"content": "D"}},
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"],
     "kwargs": {"content": "Q"}},
    {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [{"id": "c"}]}}},
    {"type": "tool", "data": {"content": "20 C", "tool_call_id": "c"}},
    {"type": "AIMessageChunk", "data": {"content": [{"type": "text", "text": "A"}]}},
]  # fmt: skip
VERCEL = [
    {"id": "0", "role": "system", "parts": [{"type": "text", "text": "D"}]},
    {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Q"}]},
    {"id": "2", "role": "assistant", "parts": [
        {"type": "step-start"},
        {"type": "tool-get", "toolCallId": "c", "output": "20 C"},
        {"type": "dynamic-tool", "toolName": "x"},
        {"type": "text", "text": "A"},
    ]},
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "source"),
    [(OPENAI, "list"), (ANTHROPIC, "list"), (RESPONSES, "list"), (LANGCHAIN, "langchain"),
     (VERCEL, "vercel")],
    ids=["OpenAI", "Anthropic", "OpenAI's Responses", "LangChain", "Vercel"],
)  # fmt: skip
def test_tools_are_parts_and_system_text_is_no_message(content: Any, source: str) -> None:
    """Who asked and what was answered are the messages; a call without a name is a step."""
    conversation = only(content)
    assert conversation.source == source
    assert words_of(conversation) == [("user", "Q"), ("assistant", "A")]
    assert conversation.metadata["imported"]["system"] == "D"
    reply = conversation.messages[-1]
    called = [(call["state"], call.get("output")) for call in parts_of(reply, "dynamic-tool")]
    if content in (OPENAI, LANGCHAIN):
        assert (called, len(steps_of(conversation))) == ([], 2)
        assert "20 C" in str(steps_of(conversation))
    else:
        assert called[0] == ("output-available", "20 C")
        assert called[1:] == ([("input-available", None)] if content == VERCEL else [])
    assert conversation.left_out == {}


@pytest.mark.parametrize(
    ("block", "text", "attached"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}},
         "[image]", {"mediaType": "image/png", "url": "data:image/png;base64,A"}),
        ({"type": "file", "mediaType": "text/csv", "filename": "a.csv", "url": "data:text/csv,"},
         "[file: a.csv]", {"filename": "a.csv", "mediaType": "text/csv", "url": "data:text/csv,"}),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"},
         "[file: a.pdf]", {"filename": "a.pdf", "mediaType": "application/pdf",
                           "url": "data:application/pdf;base64,A"}),
        ({"type": "image_url", "image_url": {"url": "https://example.org/owl.png"}},
         "[image: https://example.org/owl.png]", {"mediaType": "image/png", "url": "https://example.org/owl.png"}),
        ({"type": "document", "title": "D", "source": {"type": "text", "data": "words"}},
         "[file: D]\n\n```\nwords\n```", {"name": "D"}),
        ({"inlineData": {"mimeType": "audio/wav", "data": "A"}},
         "[audio]", {"mediaType": "audio/wav", "url": "data:audio/wav;base64,A"}),
    ],
)  # fmt: skip
def test_what_is_attached_is_named_in_its_place(
    block: dict[str, Any], text: str, attached: dict[str, str]
) -> None:
    """With its data or its address; what has neither is an attachment of the metadata."""
    (message,) = only([{"role": "user", "content": ["Look:", block]}]).messages
    assert message.content == f"Look:\n\n{text}"
    if "url" in attached:
        assert parts_of(message, "file") == [attached]
        assert text_of(message.parts) == message.content
    else:
        assert message.metadata["attachments"] == [attached]


def test_a_file_that_has_no_room_is_named_alone() -> None:
    """As one whose data isn't in the export."""
    url = "data:image/png;base64," + "A" * 1_600_000
    (message,) = only(
        [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
    ).messages
    assert (message.content, message.parts) == ("[image]", [])
    assert message.metadata["attachments"] == [{"name": "image", "mediaType": "image/png"}]


@pytest.mark.parametrize(
    ("more", "kind", "kept"),
    [
        ({"reasoning_content": "R"}, "reasoning", {"text": "R"}),
        ({"content": [{"type": "reasoning", "text": "R"}, "A"]}, "reasoning", {"text": "R"}),
        ({"parts": [{"text": "R", "thought": True}, {"text": "A"}]}, "reasoning", {"text": "R"}),
        ({"annotations": [{"type": "url_citation",
                           "url_citation": {"url": "https://a.b", "title": "T"}}]},
         "source-url", {"sourceId": "source-1", "title": "T", "url": "https://a.b"}),
        ({"content": ["A", {"type": "source-url", "url": "https://a.b"}]},
         "source-url", {"sourceId": "source-1", "title": "https://a.b", "url": "https://a.b"}),
    ],
)  # fmt: skip
def test_what_stands_beside_the_words_is_a_part(more: dict[str, Any], kind: str, kept: Any) -> None:
    """Wherever a system puts it; the text of the parts is the content."""
    message = only([{"role": "assistant", "content": "A", **more}]).messages[0]
    assert (message.content, parts_of(message, kind)) == ("A", [kept])
    assert text_of(message.parts) == "A"


TOOL = {"type": "dynamic-tool", "toolName": "get", "toolCallId": "c"}
DONE = {**TOOL, "state": "output-available", "input": {"at": 1}, "output": "20 C"}


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([{"tool_calls": [{"id": "c", "function": {"name": "get", "arguments": '{"at": 1}'}}]},
          {"role": "tool", "tool_call_id": "c", "content": "20 C"}], DONE),
        ([{"tool_calls": [{"id": "c", "name": "get", "args": {"at": 1}, "type": "tool_call"}]},
          {"role": "tool", "tool_call_id": "c", "content": "20 C"}], DONE),
        ([{"content": [{"type": "tool_use", "id": "c", "name": "get", "input": {"at": 1}}]},
          {"role": "user", "content": [
              {"type": "tool_result", "tool_use_id": "c", "is_error": True, "content": "Gone"}]}],
         {**TOOL, "state": "output-error", "input": {"at": 1}, "errorText": "Gone"}),
        ([{"parts": [{"type": "tool-invocation", "toolInvocation": {
            "state": "result", "toolCallId": "c", "toolName": "get", "args": {"at": 1},
            "result": "20 C"}}]}], DONE),
        ([{"content": [{"type": "tool-call", "toolCallId": "c", "toolName": "get",
                        "input": {"at": 1}}]},
          {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c",
                                        "toolName": "get", "output": "20 C"}]}], DONE),
        ([{"content": [{"type": "tool_call", "tool_call": {
            "id": "c", "name": "get", "args": '{"at": 1}', "output": "20 C"}}]}], DONE),
        ([{"parts": [{**DONE, "callProviderMetadata": {"x": {"y": 1}}}]}],
         {**DONE, "callProviderMetadata": {"x": {"y": 1}}}),
        ([{"tool_calls": [{"id": "c", "function": {"name": "get", "arguments": '{"at": 1'}}]}],
         {**TOOL, "state": "input-available", "input": '{"at": 1'}),
    ],
    ids=["OpenAI", "LangChain", "Anthropic", "Vercel 4", "Vercel's core", "LibreChat", "Vercel 5",
         "cut"],
)  # fmt: skip
def test_a_call_and_its_result_are_one_part(rows: list[dict[str, Any]], part: Any) -> None:
    """However they are written; the arguments as the object that they are."""
    rows = [{"role": "assistant", **row} for row in rows]
    reply = only([ASK, *rows, {"role": "assistant", "content": "A"}]).messages[1]
    assert reply.parts == [part, {"type": "text", "text": "A"}]
    assert "steps" not in reply.metadata["imported"]


def test_calls_have_ids_that_providers_take() -> None:
    """Each its own within its message, the same whenever the file is read."""
    calls = [{"id": name, "function": {"name": "a b", "arguments": ""}} for name in ("é", "é", "x")]
    rows = [ASK, {"role": "assistant", "content": "A", "tool_calls": calls}]
    first, again = (parts_of(only(rows).messages[1], "dynamic-tool") for _ in range(2))
    ids = [one["toolCallId"] for one in first]
    assert (first, len(set(ids)), ids[2]) == (again, 3, "x")
    assert {one["toolName"] for one in first} == {"a_b"}


def test_vercels_data_and_steps_are_the_parts_that_they_were() -> None:
    """Data is no text; a step sets two texts apart, as a blank line does in the content."""
    parts = [
        {"type": "step-start"}, {"type": "text", "text": "A"}, {"type": "step-start"},
        {"type": "data-weather", "data": {"sky": "clear"}}, {"type": "text", "text": "B"},
    ]  # fmt: skip
    (message,) = only([{"role": "assistant", "parts": parts}]).messages
    assert message.content == text_of(message.parts) == "A\n\nB"
    assert message.parts == [*parts[:3], parts[4], parts[3]]


def test_code_that_a_model_ran_is_in_its_place() -> None:
    """As Gemini writes it."""
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OK", "output": "2"}},
        {"text": "Two."},
    ]
    conversation = only({"contents": [ASK, {"role": "model", "parts": parts}]})
    assert conversation.messages[1].content == "```python\n1+1\n```\n\n```\n2\n```\n\nTwo."


def test_members_that_nobody_knows_are_kept() -> None:
    """Of a message with it, of a list with its conversation."""
    conversation = only({"id": "i", "model": "m", "messages": [{**ASK, "mood": "calm"}]})
    assert conversation.messages[0].metadata["imported"]["mood"] == "calm"
    assert conversation.metadata["imported"]["more"] == {"id": "i", "model": "m"}


def test_a_role_that_nobody_knows_is_a_step() -> None:
    """Its words are no user's and no assistant's."""
    conversation = only(
        [ASK, {"role": "moderator", "content": "M"}, {"role": "ai", "content": "A"}]
    )
    assert words_of(conversation) == [("user", "Q"), ("assistant", "A")]
    assert steps_of(conversation) == [{"type": "moderator", "content": "M"}]


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"id": 17}, {"id": "17"}),
        ({"text": "other"}, {"text": "other"}),
        ({"response_metadata": {"model_name": "m"}}, {"response_metadata": {"model_name": "m"}}),
        ({"additional_kwargs": {"lang": "de"}}, {"lang": "de"}),
        ({"annotations": [{"type": "file_citation", "filename": "g.pdf"}]},
         {"steps": [{"type": "citation", "filename": "g.pdf"}]}),
        ({"content": None, "parts": [{"type": "step-start"}], "text": "A"}, {}),
        ({"parts": [{"type": "text", "text": "A"}, {"type": "source-document", "title": "D"}]},
         {"steps": [{"type": "source-document", "title": "D"}]}),
    ],
)  # fmt: skip
def test_what_stands_beside_a_text_is_kept(more: dict[str, Any], kept: dict[str, Any]) -> None:
    """Whatever form it has; a content under another name is the text where the first has none."""
    (message,) = only([{"role": "assistant", "content": "A", **more}]).messages
    assert message.content == "A"
    source = message.metadata["imported"].pop("source")
    assert message.metadata["imported"] == kept | ({"id": "17"} if "id" in more else {}), source


def test_files_that_are_only_named_are_attachments() -> None:
    """A text in place of an object; two pictures without a name are two."""
    row = {"role": "user", "content": "Q", "files": ["a.pdf"], "attachments": "b.png"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    named, drawn = only([row, {"role": "user", "content": [picture, picture]}]).messages
    assert {one["name"] for one in named.metadata["attachments"]} == {"a.pdf", "b.png"}
    assert len(parts_of(drawn, "file")) == 2


def test_langchain_keeps_reasoning_beside_and_functions_results() -> None:
    """As its wrappers of DeepSeek's models, and its older chains have them."""
    thinking = {"content": "A", "tool_calls": [], "additional_kwargs": {"reasoning_content": "hm"}}
    result = {"id": ["langchain", "FunctionMessage"], "kwargs": {"name": "f", "content": "out"}}
    conversation = only([{"type": "ai", "data": thinking}, result])
    assert parts_of(conversation.messages[0], "reasoning") == [{"text": "hm"}]
    assert (conversation.kept, conversation.left_out) == ({"reasoning": 1, "function": 1}, {})


@pytest.mark.parametrize("is_nested", [True, False])
def test_messages_of_one_id_are_all_kept_by_librechat(is_nested: bool) -> None:
    """As in a copy that was edited by hand."""
    first = {"messageId": "1", "isCreatedByUser": True, "text": "Q"}
    second = {"messageId": "1", "isCreatedByUser": False, "text": "A"}
    rows = [{**first, "children": [second]}] if is_nested else [first, second]
    assert words_of(only({"conversationId": "c", "messages": rows})) == [
        ("user", "Q"), ("assistant", "A"),
    ]  # fmt: skip
