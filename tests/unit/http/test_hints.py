"""What a refused request's answer says that was likely meant."""

import pytest

from shared.http.hints import hint_for

KNOWN = ["request", "conversationId", "projectId", "userId", "persistMessages", "metadata"]


def unknown(*names: str) -> list[dict[str, object]]:
    """Return pydantic's errors for fields that nobody knows."""
    return [{"type": "extra_forbidden", "loc": ("body", name)} for name in names]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("message", "request"), ("prompt", "request"), ("conversation_id", "conversationId"),
        ("conversationID", "conversationId"), ("threadId", "conversationId"),
        ("persistMesages", "persistMessages"), ("meta-data", "metadata"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_knows_is_likely_another(sent: str, meant: str) -> None:
    """By the name that others give it, another way of writing, or a slip."""
    assert hint_for(unknown(sent), KNOWN) == f"Did you mean `{meant}`?"


def test_several_are_named_once_each() -> None:
    """In the order in which they came."""
    hint = hint_for(unknown("message", "thread", "prompt"), KNOWN)
    assert hint == "Did you mean `request`, `conversationId`?"


@pytest.mark.parametrize("sent", ["role", "history", "temperature", "", "x" * 100_000])
def test_what_is_like_nothing_gets_no_hint(sent: str) -> None:
    """However long it is."""
    assert hint_for(unknown(sent), KNOWN) is None


def test_other_mistakes_get_none() -> None:
    """They say themselves what is wrong."""
    assert hint_for([{"type": "missing", "loc": ("body", "request")}], KNOWN) is None
