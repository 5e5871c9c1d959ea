"""Lists of messages: roles, blocks and what stands beside them, as each system writes them."""

from typing import Any

import pytest

from shared.imports.parsed import ParsedConversation
from tests.support.imported import conversations_in, words_of

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
def test_tools_are_steps_and_system_text_is_no_message(content: Any, source: str) -> None:
    """Who asked and what was answered are the messages."""
    conversation = only(content)
    assert conversation.source == source
    assert words_of(conversation) == [("user", "Q"), ("assistant", "A")]
    assert conversation.metadata["imported"]["system"] == "D"
    assert len(steps_of(conversation)) == 2
    assert "20 C" in str(steps_of(conversation))
    assert conversation.left_out == {}


@pytest.mark.parametrize(
    ("block", "text", "attachment"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}},
         "[image]", {"name": "image", "mediaType": "image/png"}),
        ({"type": "file", "mediaType": "text/csv", "filename": "a.csv", "url": "data:text/csv,"},
         "[file: a.csv]", {"name": "a.csv", "mediaType": "text/csv"}),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"},
         "[file: a.pdf]", {"name": "a.pdf", "mediaType": "application/pdf"}),
        ({"type": "image_url", "image_url": {"url": "https://example.org/owl.png"}},
         "[image: https://example.org/owl.png]", {"name": "https://example.org/owl.png"}),
        ({"type": "document", "title": "D", "source": {"type": "text", "data": "words"}},
         "[file: D]\n\n```\nwords\n```", {"name": "D"}),
        ({"inlineData": {"mimeType": "audio/wav", "data": "A"}},
         "[audio]", {"name": "audio", "mediaType": "audio/wav"}),
    ],
)  # fmt: skip
def test_what_is_attached_is_named_in_its_place(
    block: dict[str, Any], text: str, attachment: dict[str, str]
) -> None:
    """Its data is not kept."""
    (message,) = only([{"role": "user", "content": ["Look:", block]}]).messages
    assert message.content == f"Look:\n\n{text}"
    assert message.metadata["attachments"] == [attachment]


@pytest.mark.parametrize(
    ("more", "key", "kept"),
    [
        ({"reasoning_content": "R"}, "reasoning", "R"),
        ({"content": [{"type": "reasoning", "text": "R"}, "A"]}, "reasoning", "R"),
        ({"parts": [{"text": "R", "thought": True}, {"text": "A"}]}, "reasoning", "R"),
        ({"annotations": [{"type": "url_citation",
                           "url_citation": {"url": "https://a.b", "title": "T"}}]},
         "citations", [{"title": "T", "url": "https://a.b"}]),
        ({"content": ["A", {"type": "source-url", "url": "https://a.b"}]},
         "citations", [{"title": "https://a.b", "url": "https://a.b"}]),
    ],
)  # fmt: skip
def test_what_stands_beside_the_words_has_its_key(
    more: dict[str, Any], key: str, kept: Any
) -> None:
    """Wherever a system puts it."""
    message = only([{"role": "assistant", "content": "A", **more}]).messages[0]
    assert (message.content, message.metadata[key]) == ("A", kept)


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
    assert len(drawn.metadata["attachments"]) == 2


def test_langchain_keeps_reasoning_beside_and_functions_results() -> None:
    """As its wrappers of DeepSeek's models, and its older chains have them."""
    thinking = {"content": "A", "tool_calls": [], "additional_kwargs": {"reasoning_content": "hm"}}
    result = {"id": ["langchain", "FunctionMessage"], "kwargs": {"name": "f", "content": "out"}}
    conversation = only([{"type": "ai", "data": thinking}, result])
    assert conversation.messages[0].metadata["reasoning"] == "hm"
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
