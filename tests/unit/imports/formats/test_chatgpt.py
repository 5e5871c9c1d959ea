"""ChatGPT: each type of content, what was shown of it, and what only the AI was given."""

import json
import re
from typing import Any

import pytest

from shared.encoding.parts import text_of
from shared.imports.formats.chatgpt_content import clean, read_message
from tests.support.imported import conversations_in, parts_of, words_of
from tests.support.provider_files import GPT_TAKEN, gpt_conversation, gpt_message, gpt_sample

MULTIMODAL = [
    {"content_type": "audio_transcription", "text": "said"},
    {"content_type": "real_time_user_audio_video_asset_pointer"},
]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ({"content_type": "text", "parts": ["a", "", "b"]}, ["a", "b"]),
        ({"content_type": "text", "parts": [None, 5, ["x"]]}, []),
        ({"content_type": "multimodal_text", "parts": MULTIMODAL},
         ["said", "[real time user audio video]"]),
        ({"content_type": "multimodal_text", "parts": [{}]}, ["[attachment]"]),
        ({"content_type": "multimodal_text", "parts": [{"content_type": "new", "words": "w"}]},
         ["w"]),
        ({"content_type": "code", "language": "python", "text": "x()"}, ["```python\nx()\n```"]),
        ({"content_type": "code", "language": "unknown", "text": "```"}, ["````\n```\n````"]),
        ({"content_type": "execution_output", "text": "out"}, ["```\nout\n```"]),
        ({"content_type": "system_error", "name": "N", "text": "Error"}, ["Error"]),
        ({"content_type": "from_the_future", "text": "still text"}, ["still text"]),
        ({"content_type": "new", "id": "1", "title": "T", "rows": [{"body": "B"}]}, ["T", "B"]),
        ({"content_type": "user_editable_context", "user_profile": "P"}, ["P"]),
        ({}, []),
    ],
)  # fmt: skip
def test_each_type_of_content_has_its_words(content: dict[str, Any], texts: list[str]) -> None:
    """What is no text is named; what isn't known gives all of its texts."""
    assert read_message({"content": content}, "assistant")[0].texts == texts


@pytest.mark.parametrize(
    ("content", "step"),
    [
        ({"content_type": "tether_quote", "title": "T", "text": "quoted"},
         {"type": "tether_quote", "content": "quoted", "title": "T"}),
        ({"content_type": "tether_browsing_display", "result": "page"},
         {"type": "tether_browsing_display", "content": "page"}),
        ({"content_type": "reasoning_recap", "content": "Thought for 5 s"},
         {"type": "reasoning_recap", "content": "Thought for 5 s"}),
    ],
)  # fmt: skip
def test_what_was_read_on_the_way_is_a_step(content: dict[str, Any], step: dict[str, Any]) -> None:
    """With what it says about itself."""
    said, is_step = read_message({"content": content}, "assistant")
    assert (said.steps, said.texts, is_step) == ([step], [], True)


def test_thoughts_are_reasoning() -> None:
    """Their headings too."""
    thoughts = [{"content": "a"}, {"summary": "b", "content": "c"}, 5]
    said, _ = read_message({"content": {"content_type": "thoughts", "thoughts": thoughts}}, "x")
    assert said.reasoning == ["a", "b\n\nc"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("So. \ue200cite\ue202turn0search1\ue201", "So."),
        ("A\ue200filecite\ue202turn0file0\ue201.", "A."),
        ("See \ue200url\ue202the page\ue202turn0news1\ue201!", "See the page!"),
        ('By \ue200entity\ue202["person","Ada","poet"]\ue201', "By Ada"),
        ("Cut \ue200cite\ue202turn0", "Cut citeturn0"),
        ("One【3:0†source】.", "One."),
        ("† and 【notes】 stay", "† and 【notes】 stay"),
    ],
)
def test_marks_of_citations_are_taken_out_and_no_words(text: str, cleaned: str) -> None:
    """Names within a mark are what the reader saw; a mark that never ends swallows nothing."""
    assert clean(text) == cleaned


def test_only_what_a_reader_saw_is_said() -> None:
    """Instructions are the conversation's system text, hidden text a step, empty ones counted."""
    (conversation,) = conversations_in(gpt_sample())
    assert words_of(conversation) == GPT_TAKEN
    assert conversation.metadata["imported"]["system"] == "P\n\nI"
    assert conversation.left_out == {"empty": 1}
    hidden = gpt_message(
        "assistant", "For the AI", metadata={"is_visually_hidden_from_conversation": True}
    )
    nodes = [
        ("a", None, gpt_message("user", "x")),
        ("b", "a", hidden),
        ("c", "b", gpt_message("critic", "Good")),
        ("d", "c", gpt_message("assistant", "y")),
    ]
    (conversation,) = conversations_in([gpt_conversation(nodes)])
    steps = conversation.messages[1].metadata["imported"]["steps"]
    assert words_of(conversation) == [("user", "x"), ("assistant", "y")]
    assert [(one["type"], one["content"]) for one in steps] == [
        ("hidden", "For the AI"), ("unknown role", "Good"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        {"status": "in_progress"},
        {"status": "finished_partial_completion"},
        {"metadata": {"finish_details": {"type": "interrupted"}}},
        {"metadata": {"finish_details": {"type": "max_tokens"}}},
    ],
)
def test_a_reply_that_was_cut_says_so(more: dict[str, Any]) -> None:
    """It would look whole."""
    reply = gpt_message("assistant", "y", **more)
    nodes = [("a", None, gpt_message("user", "x")), ("b", "a", reply)]
    (conversation,) = conversations_in([gpt_conversation(nodes)])
    assert [message.metadata.get("truncated") for message in conversation.messages] == [None, True]


@pytest.mark.parametrize("text", ["{cut", "[1]", "5"])
def test_a_canvas_that_makes_no_sense_is_a_call(text: str) -> None:
    """It isn't a file, and it isn't lost: it is the call that it was."""
    call = gpt_message(
        "assistant", {"content_type": "code", "text": text}, recipient="canmore.create_textdoc"
    )
    said, is_step = read_message(call, "assistant")
    (_, call) = said.beside[0]
    given = call["input"] if isinstance(call["input"], str) else json.dumps(call["input"])
    assert (said.files, is_step, call["toolName"], given) == (
        [], True, "canmore_create_textdoc", text,
    )  # fmt: skip


def test_a_reply_that_was_stopped_stays_marked_when_steps_follow_it() -> None:
    """What a tool says afterwards doesn't complete it."""
    nodes = [
        ("a", None, gpt_message("user", "Q")),
        ("b", "a", gpt_message("assistant", "A", status="in_progress")),
        ("c", "b", gpt_message("tool", "late")),
    ]
    (conversation,) = conversations_in([gpt_conversation(nodes)])
    assert conversation.messages[1].metadata["truncated"] is True


def test_a_file_that_a_reply_cites_is_named() -> None:
    """It has no link that could be kept."""
    cited = {"content_references": [{"type": "file", "name": "report.pdf"}]}
    said, _ = read_message(gpt_message("assistant", "A", metadata=cited), "assistant")
    (part,) = said.parts("m")[1:]
    assert part == {
        "type": "source-document", "sourceId": "report.pdf", "mediaType": "application/pdf",
        "title": "report.pdf",
    }  # fmt: skip


def test_a_call_has_the_result_that_follows_it() -> None:
    """By the tool's name; names and ids are such as every provider takes. A picture is one too."""
    code = {"content_type": "code", "text": '{"query": "geese"}'}
    drawn = {"content_type": "multimodal_text", "parts": [
        {"content_type": "image_asset_pointer", "asset_pointer": "sediment://f"},
    ]}  # fmt: skip
    nodes = [
        ("a", None, gpt_message("user", "Q")),
        ("b", "a", gpt_message("assistant", code, recipient="web.run")),
        ("c", "b", gpt_message("tool", "20 geese", author={"role": "tool", "name": "web.run"})),
        ("d", "c", gpt_message("assistant", "An owl", recipient="dalle.text2im")),
        ("e", "d", gpt_message("tool", drawn, author={"role": "tool", "name": "dalle.text2im"})),
        ("f", "e", gpt_message("tool", "quiet", author={"role": "tool", "name": "bio"})),
        ("g", "f", gpt_message("assistant", "A")),
    ]
    (conversation,) = conversations_in([gpt_conversation(nodes)])
    reply = conversation.messages[1]
    calls = parts_of(reply, "dynamic-tool")
    assert [(one["toolName"], one["state"], one["input"], one["output"]) for one in calls] == [
        ("web_run", "output-available", {"query": "geese"}, "20 geese"),
        ("dalle_text2im", "output-available", "An owl", "[image: f]"),
    ]
    assert all(re.fullmatch(r"[\w-]{1,64}", one["toolCallId"]) for one in calls)
    assert (reply.content, text_of(reply.parts)) == ("[image: f]\n\nA",) * 2
    assert reply.metadata["imported"]["steps"] == [{"type": "tool", "content": "quiet"}]
