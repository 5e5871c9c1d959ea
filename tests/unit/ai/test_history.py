"""Stored history on its way to a model: repaired, in copies."""

import pytest

from shared.ai.history import NO_REPLY, repaired
from shared.ai.protocol import HistoryMessage
from tests.support.scripted_engine import rows


def said(history: list[HistoryMessage]) -> list[tuple[str, str]]:
    return [(row.role, row.content) for row in history]


def test_a_history_that_is_whole_is_left_alone() -> None:
    """The very same rows."""
    history = rows(("user", "a"), ("assistant", "b"), ("system", "n"), ("user", "c"))
    history += rows(("assistant", "d"))
    assert repaired(history) == history


def test_each_user_who_was_never_answered_gets_a_word() -> None:
    """The last one too; a system row is not a reply."""
    history = rows(("user", "a"), ("system", "n"), ("user", "b"), ("assistant", "c"), ("user", "d"))
    assert said(repaired(history)) == [
        ("user", "a"), ("system", "n"), ("assistant", NO_REPLY), ("user", "b"),
        ("assistant", "c"), ("user", "d"), ("assistant", NO_REPLY),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        ("interrupted", "interrupted"),
        ("cancelled", "stopped"),
        ("timeout", "failed"),
        ("x", "fail"),
    ],
)
def test_a_reply_that_is_not_whole_says_so(failure: str, word: str) -> None:
    """Its text stays, with a mark behind it."""
    row = HistoryMessage(seq=2, role="assistant", content="Half of", failure=failure)
    (_, marked) = repaired([*rows(("user", "a")), row])
    assert marked.content.startswith("Half of\n\n[This reply")
    assert word in marked.content
    assert row.content == "Half of"


def test_a_blank_reply_that_failed_is_told() -> None:
    """The mark is all there is to say."""
    row = HistoryMessage(seq=2, role="assistant", content="", failure="failed")
    assert said(repaired([*rows(("user", "a")), row]))[1] == ("assistant", "[This reply failed.]")


def test_nothing_stays_nothing() -> None:
    """An empty history, and one of blanks."""
    assert repaired([]) == repaired(rows(("user", " "), ("assistant", "\n"))) == []
