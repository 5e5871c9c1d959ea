"""The analysis by fixed rules."""

import pytest

from shared.ai.offline.rules import analyse, goal_of, shortened
from shared.ai.protocol import Complexity, Intent


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
    """Code, steps, answers and questions back each have their own."""
    assert analyse(request_text).strategy == strategy


@pytest.mark.parametrize(
    ("request_text", "intent"),
    [
        ("Create a login form component in React", "create_component"),
        ("Write a function that adds two numbers", "create_function"),
        ("Build a REST API for invoices", "create_api"),
        ("Make a landing page in HTML", "create_page"),
        ("Create a SQL table for invoices", "create_database"),
        ("Fix the crash in my React component", "fix_bug"),
        ("Refactor this function", "refactor"),
        ("Write unit tests for parse_date", "write_tests"),
        ("Add a docstring and a README", "write_docs"),
        ("Explain this function", "explain"),
        ("What is a monad?", "explain"),
        ("你好", "other"),
        ("   ", "other"),
        ("x" * 2_000_000, "other"),
    ],
)
def test_the_intent_is_a_short_label(request_text: str, intent: str) -> None:
    """Which kind of thing is asked for, never the words of the request."""
    assert analyse(request_text).intent == intent


def test_a_label_that_nobody_knows_is_other() -> None:
    """A model that makes up a label costs only the label."""
    assert Intent("order_pizza") is Intent.OTHER


def test_complexity_grows_with_what_is_asked() -> None:
    """One thing is simple, some are moderate, a system is complex."""
    big = "Design a distributed architecture: security, and scaling, and migration, then tests?"
    assert analyse("What is a list?").complexity is Complexity.SIMPLE
    assert analyse("Write tests and docs, then release it").complexity is Complexity.MODERATE
    assert analyse(big).complexity is Complexity.COMPLEX
