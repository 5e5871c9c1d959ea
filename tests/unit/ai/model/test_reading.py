"""Reading what a provider streams: text, reasoning, and characters that come in halves."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)

from shared.ai.model.reading import MAX_REASONING_CHARS, Reading


def read(*pieces: str) -> Reading:
    """Read a text in these pieces to its end; what was given is what is kept."""
    reading = Reading()
    given_out = [reading.take(PartStartEvent(index=0, part=TextPart("")))]
    given_out += [
        reading.take(PartDeltaEvent(index=0, delta=TextPartDelta(content_delta=piece)))
        for piece in pieces
    ]
    assert "".join([*given_out, reading.end()]) == reading.text
    return reading


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>", "\nHm.\n", "</think>", "\n\n", "South."],
        ["<think>\nHm.\n", "</think>\n\nSouth."],
        ["<think>\nHm.\n</think>\n\nSouth."],
        ["<th", "ink>\nH", "m.\n</thi", "nk", ">\n", "\nSouth."],
        ["\n<think>Hm.</think>", "South."],
        list("<think>\nHm.\n</think>\n\nSouth."),
    ],
)
def test_reasoning_that_opens_a_reply_is_kept_apart(pieces: list[str]) -> None:
    """However the provider cuts it."""
    reading = read(*pieces)
    assert (reading.text, reading.reasoning) == ("South.", "Hm.")


@pytest.mark.parametrize(
    "text",
    [
        "Use the <think> tag to reason.\nIt needs </think> at its end.",
        "<think> and </think> enclose what a model thinks.",
        "<think></think> is a pair of tags.",
        "<think> is a tag that never closes here.",
        "<think>\nHm, and then the provider stopped",
        "```xml\n<think>\nHm\n</think>\n```\n",
        "<thinking>is another tag</thinking>",
        "  indented",
        "\n\n",
        "<",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_tag_that_marks_no_reasoning_swallows_nothing(text: str, size: int) -> None:
    """A mention, an example in a fence, one that never closes: all of it is the reply."""
    reading = read(*(text[at : at + size] for at in range(0, len(text), size)))
    assert (reading.text, reading.reasoning) == (text, None)


def test_an_empty_thought_leaves_no_trace() -> None:
    """Models that were asked not to think send the tags around blank lines."""
    reading = read("<think>\n\n</think>\n\nSouth.")
    assert (reading.text, reading.reasoning) == ("South.", None)


def test_the_text_behind_reasoning_keeps_its_own_indent() -> None:
    """Only the blank lines between the two are dropped."""
    assert read("<think>\nHm\n</think>\n\n", "    code\n\nmore").text == "    code\n\nmore"


def test_reasoning_in_parts_of_its_own_is_kept_apart() -> None:
    """As providers send it that have a channel for it."""
    reading = Reading()
    events: list[ModelResponseStreamEvent] = [
        PartStartEvent(index=0, part=ThinkingPart("One")),
        PartDeltaEvent(index=0, delta=ThinkingPartDelta(content_delta=" thought")),
        PartStartEvent(index=1, part=ThinkingPart("Another")),
        PartStartEvent(index=2, part=TextPart("South.")),
    ]
    assert "".join(reading.take(event) for event in events) == "South."
    assert reading.reasoning == "One thought\n\nAnother"


def test_very_long_reasoning_is_cut_and_shows_it() -> None:
    """It stands in a reply's metadata, which is no place for megabytes."""
    reading = read(f"<think>\n{'x' * 2_000_000}</think>South.")
    assert reading.reasoning == "x" * MAX_REASONING_CHARS + "…"


def test_an_emoji_in_two_halves_is_one_character() -> None:
    """A provider that counts in UTF-16 may cut between them."""
    assert read("a\ud83d", "\ude00b").text == "a\U0001f600b"
    assert read("\ud83d", "", "\ude00").text == "\U0001f600"


def test_half_an_emoji_without_the_other_is_passed_on_as_it_is() -> None:
    """It is escaped where replies are stored, and marked."""
    assert read("a\ud83d", "b", "\ude00", "\ud83d").text == "a\ud83db\ude00\ud83d"


@given(st.text(max_size=30), st.lists(st.integers(0, 60), max_size=6))
def test_cutting_a_text_in_pieces_changes_nothing(text: str, cuts: list[int]) -> None:
    """Also not between the halves of a character, as UTF-16 has them."""
    units = text.encode("utf-16-le", "surrogatepass")
    ends = [0, *sorted(2 * min(cut, len(units) // 2) for cut in cuts), len(units)]
    pieces = [
        units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(ends)
    ]
    assert read(*pieces).text == text
