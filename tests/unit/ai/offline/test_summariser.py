"""The offline summary: an extract that says that it is one."""

import pytest

from shared.ai.offline.summariser import HEADING, LEFT_OUT, OfflineSummariser
from shared.ai.tokens import estimate_tokens
from tests.support.scripted_engine import rows


async def test_it_is_the_first_sentences_under_a_heading() -> None:
    """In order, each with who said it."""
    history = rows(("user", "Rename it. Please."), ("assistant", "Done."), ("user", " "))
    summary = await OfflineSummariser().summarise(history, previous=None, tokens=200)
    assert summary.text == f"{HEADING}\n- user: Rename it.\n- assistant: Done."


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
    assert (lines[0], lines.count(HEADING), lines.count(LEFT_OUT)) == (HEADING, 1, 1)
