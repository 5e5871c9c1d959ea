"""The offline summary: an extract that says that it is one."""

from __future__ import annotations

import pytest

from shared.ai.offline.summariser import HEADING, LEFT_OUT, OfflineSummariser
from shared.ai.tokens import estimate_tokens
from tests.support.scripted_engine import rows


async def test_it_is_the_first_sentences_under_a_heading() -> None:
    """In order, each with who said it."""
    history = rows(("user", "Rename it. Please."), ("assistant", "Done."), ("user", " "))
    summary = await OfflineSummariser().summarise(history, previous=None, tokens=200)
    assert summary.text == f"{HEADING}\n- user: Rename it.\n- assistant: Done."


async def test_a_summary_goes_on_from_the_one_before() -> None:
    """Its lines come first, its heading once."""
    summariser = OfflineSummariser()
    first = await summariser.summarise(rows(("user", "One.")), previous=None, tokens=200)
    second = await summariser.summarise(rows(("user", "Two.")), previous=first.text, tokens=200)
    assert second.text == f"{HEADING}\n- user: One.\n- user: Two."


@pytest.mark.parametrize("tokens", [60, 100, 2_000])
async def test_it_keeps_the_first_line_and_the_newest_within_its_tokens(tokens: int) -> None:
    """However long the conversation, also when summed up again and again."""
    summary: str | None = None
    for start in range(0, 5_000, 1_000):
        history = rows(
            *[("user", f"Message {n}, 漢字 and more.") for n in range(start, start + 1_000)]
        )
        made = await OfflineSummariser().summarise(history, previous=summary, tokens=tokens)
        summary = made.text
    assert summary is not None
    lines = summary.split("\n")
    assert estimate_tokens(summary) <= tokens
    assert lines[1].startswith("- user: Message 0,")
    assert lines[2] == LEFT_OUT
    assert lines[-1].startswith("- user: Message 4999,")
    assert lines.count(LEFT_OUT) == 1
