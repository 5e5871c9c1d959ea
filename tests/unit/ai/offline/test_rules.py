"""The analysis by fixed rules."""

from __future__ import annotations

import pytest

from shared.ai import Complexity
from shared.ai.offline.rules import analyse, goal_of, shortened


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("Fix app.py today. Then rest.", "Fix app.py today."),
        ("  \n Make\n it", "Make"),
        ("これを直して。次はテスト。", "これを直して。"),
        ("ما هذا؟ شكرا", "ما هذا؟"),
        ("   \n\t ", ""),
    ],
)
def test_the_goal_is_the_first_sentence(text: str, goal: str) -> None:
    """A file name's dot ends no sentence; other scripts' marks do."""
    assert goal_of(text) == goal


def test_a_long_goal_is_cut_at_two_hundred_characters() -> None:
    """A goal without an end stays short and shows that it was cut."""
    goal = goal_of("word " * 500)
    assert len(goal) <= 200
    assert goal.endswith("…")


@pytest.mark.parametrize("cluster", ["👩‍👩‍👧", "👍🏽", "é", "🇩🇪"])
def test_a_cut_never_splits_a_visible_character(cluster: str) -> None:
    """Families, skin tones, accents and flags stay whole or go whole."""
    for limit in range(6, 20):
        kept = shortened("ab " + cluster * 10, limit).removesuffix("…").removeprefix("ab")
        assert kept.strip() == cluster * (len(kept.strip()) // len(cluster))


@pytest.mark.parametrize(
    ("request_text", "strategy"),
    [
        ("Write a function that adds two numbers", "generate_code"),
        ("Create a SQL table for invoices", "generate_code"),
        ("How do I set up a staging environment?", "step_by_step"),
        ("What is a monad?", "direct_answer"),
        ("你好,请帮我解释一下这个错误", "direct_answer"),
        ("   ", "clarify"),
        ("hm", "clarify"),
    ],
)
def test_the_strategy_follows_the_words(request_text: str, strategy: str) -> None:
    """Code, steps, answers and questions back are told apart."""
    assert analyse(request_text).strategy == strategy


def test_complexity_grows_with_what_is_asked() -> None:
    """One thing is simple, some are moderate, a system is complex."""
    big = "Design a distributed architecture: security, and scaling, and migration, then tests?"
    assert analyse("What is a list?").complexity is Complexity.SIMPLE
    assert analyse("Write tests and docs, then release it").complexity is Complexity.MODERATE
    assert analyse(big).complexity is Complexity.COMPLEX
