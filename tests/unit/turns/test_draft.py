"""The draft of a turn: text and parts in their order, and what of them is new to whom."""

from typing import Any

from shared.encoding.parts import text_of
from shared.turns.draft import (
    Draft,
    PartChange,
    PartPiece,
    TextPiece,
    in_order,
    marks_of,
    merged,
    parts_of_draft,
)

CALL = {"type": "tool-weather", "toolCallId": "c1", "state": "input-available", "input": {}}
DONE = {**CALL, "state": "output-available", "output": 3}
SOURCE = {"type": "source-url", "sourceId": "s", "url": "https://x.example"}


def news(draft: Draft, *, offset: int = 0, version: int = 0) -> list[Any]:
    """Return what is new to a reader."""
    marks = draft.marks_since(version)
    return list(in_order(marks, offset=offset, text=draft.text_from(offset)))


def test_text_alone_has_no_parts() -> None:
    """However many pieces it came in."""
    draft = Draft()
    draft.write("Hel")
    draft.write("lo")
    assert (draft.text, draft.parts(), draft.length, draft.version) == ("Hello", [], 5, 0)
    assert news(draft) == [TextPiece(0, "Hello")]


def test_the_text_of_a_draft_is_the_text_of_its_parts() -> None:
    """Also where a source or a tool call stands within it."""
    draft = Draft()
    draft.reason("Hm. ")
    draft.reason("Yes.")
    for step in ("Let me", " look.", CALL, "It is ", SOURCE, "cold", DONE, "."):
        draft.write(step) if isinstance(step, str) else draft.add(step)
    draft.add({"type": "text", "text": " Brr.", "providerMetadata": {"a": {}}})
    parts = draft.parts()
    assert parts == [
        {"type": "reasoning", "text": "Hm. Yes."},
        {"type": "text", "text": "Let me look."},
        DONE,
        {"type": "text", "text": "It is "},
        SOURCE,
        {"type": "text", "text": "cold."},
        {"type": "text", "text": " Brr.", "providerMetadata": {"a": {}}},
    ]
    assert draft.text == text_of(parts) == "Let me look.\n\nIt is cold. Brr."


def test_text_behind_text_keeps_its_order() -> None:
    """A text part that is given as one stands behind the text before it."""
    draft = Draft()
    draft.add({"type": "text", "text": "One."})
    draft.add({"type": "text", "text": "Two."})
    assert [change.text for change in news(draft) if isinstance(change, TextPiece)] == [
        "One.",
        "Two.",
    ]


def test_half_of_a_pair_of_surrogates_has_a_size() -> None:
    """A model may give it, before it is escaped."""
    draft = Draft()
    draft.write("\ud83d")
    assert draft.size == 3


def test_a_reader_gets_each_change_once_and_in_its_place() -> None:
    """A text part is announced before the blank line that sets it apart."""
    draft = Draft()
    draft.write("Look.")
    draft.add(CALL)
    draft.write("Cold.")
    assert news(draft) == [
        PartChange(0, 0, {"type": "text"}),
        TextPiece(0, "Look."),
        PartChange(1, 5, CALL),
        PartChange(2, 7, {"type": "text"}),
        TextPiece(5, "\n\nCold."),
    ]
    seen = draft.version
    draft.add(DONE)
    draft.write("!")
    assert news(draft, offset=12, version=seen) == [PartChange(1, 5, DONE), TextPiece(12, "!")]


def test_reasoning_grows_by_pieces() -> None:
    """Whoever has its beginning gets what is new of it, whoever has nothing gets all."""
    draft = Draft()
    draft.reason("One, ")
    seen = draft.version
    draft.reason("two, ")
    draft.reason("three.")
    assert news(draft, version=seen) == [PartPiece(0, 5, "two, three.")]
    assert news(draft) == [PartChange(0, 0, {"type": "reasoning", "text": "One, two, three."})]
    draft.add(CALL)
    draft.reason("Four.")
    assert [part["type"] for part in draft.parts()] == ["reasoning", "tool-weather", "reasoning"]


def test_what_is_stored_of_a_draft_makes_the_same_parts() -> None:
    """From its text and its entries, sent as they change and in any order."""
    draft = Draft()
    draft.write("Look.")
    draft.add(CALL)
    first = draft.entries_since(0)
    seen = draft.version
    draft.add(DONE)
    draft.write("Cold.")
    second = draft.entries_since(seen)
    assert [entry.index for entry in second] == [1, 2]
    for stored in (merged(first, second), merged(second, first)):
        assert parts_of_draft(draft.text, stored) == draft.parts()
        assert [change for _, change in marks_of(stored, seen)] == [
            PartChange(1, 5, DONE),
            PartChange(2, 7, {"type": "text"}),
        ]
