"""The context: the stored history, fitted, and word of what it lacks."""

from typing import Any

from shared.ai.tokens import estimate_tokens
from shared.models.context import HistoryContext
from shared.turns.context import CUT, given_context

ROWS: list[dict[str, Any]] = [
    {"seq": 8, "role": "system", "content": "So far.", "is_summary": True},
    {"seq": 6, "role": "user", "content": "x" * 100, "is_summary": False, "failure": None},
    {"seq": 7, "role": "assistant", "content": "ok", "is_summary": False, "failure": None},
]


def relation(**changed: Any) -> HistoryContext:
    """Return what the store says of a history, with these changes."""
    said = {"covers_to": 5, "omitted": 0, "longest": 20, "is_whole": True, "since_tokens": 50}
    return HistoryContext(**(said | changed))


def test_what_fits_is_given_as_it_is() -> None:
    """The summary first, then what came since; the metadata says so in plain figures."""
    context = given_context(ROWS, relation())
    assert [row.content for row in context.history] == ["So far.", "x" * 100, "ok"]
    assert context.as_metadata() == {
        "messages": 2, "fromSeq": 6, "summaryOf": {"fromSeq": 1, "toSeq": 5},
        "omitted": 0, "shortened": 0,
        "tokens": sum(estimate_tokens(row["content"]) for row in ROWS),
    }  # fmt: skip


def test_what_is_left_out_is_said_where_it_is_missing() -> None:
    """Behind the summary, or at the start where there is none; the note counts as no message."""
    behind = given_context(ROWS, relation(omitted=3))
    assert [row.is_note for row in behind.history] == [False, True, False, False]
    assert "3 older messages are left out" in behind.history[1].content
    first = given_context(ROWS[1:], relation(covers_to=0, omitted=1))
    assert "One older message is left out" in first.history[0].content
    metadata = first.as_metadata()
    assert (metadata["messages"], metadata["omitted"], metadata["summaryOf"]) == (2, 1, None)


def test_long_ones_are_cut_where_not_all_fits() -> None:
    """With a mark, and counted, not by a text that ends like the mark."""
    rows = [*ROWS[:2], ROWS[2] | {"content": CUT}]
    context = given_context(rows, relation(is_whole=False))
    assert context.history[1].content.endswith(CUT)
    assert estimate_tokens(context.history[1].content) <= 20
    assert context.as_metadata()["shortened"] == 1


def test_what_is_long_by_its_parts_is_given_as_its_text() -> None:
    """Where not all fits; its text stays as it is."""
    call = {"type": "tool-x", "toolCallId": "1", "state": "output-available", "output": "x" * 99}
    rows = [*ROWS[:2], ROWS[2] | {"parts": [call]}]
    given = given_context(rows, relation(is_whole=False)).history[2]
    assert (given.content, given.parts) == (ROWS[2]["content"], [])


def test_a_history_without_a_budget_is_given_whole() -> None:
    """Where nothing is said of how it relates to what is stored."""
    context = given_context(
        [{"seq": 1, "role": "user", "content": "Hi", "is_summary": False}], None
    )
    assert context.as_metadata() == {
        "messages": 1, "fromSeq": 1, "summaryOf": None, "omitted": 0, "shortened": 0, "tokens": 5,
    }  # fmt: skip


def test_no_history_is_none_in_the_metadata() -> None:
    """The first message of a conversation."""
    assert given_context([], None).as_metadata()["messages"] == 0
    assert given_context([], None).as_metadata()["fromSeq"] is None
