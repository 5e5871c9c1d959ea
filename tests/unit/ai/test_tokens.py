"""The estimate of tokens: careful, without a tokenizer, and the one that cuts agrees with it."""

import pytest

from shared.ai.tokens import MESSAGE_TOKENS, cut_to_tokens, estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("漢", 1), ("漢字", 2), ("é", 1), ("👩", 2)],
)
def test_a_token_is_three_bytes(text: str, tokens: int) -> None:
    """One for a CJK character, one for three letters; a message takes four more."""
    assert estimate_tokens(text) == tokens + MESSAGE_TOKENS


@pytest.mark.parametrize("text", ["x" * 1_000, "漢" * 1_000, "👩" * 500, "a漢é👩" * 200])
@pytest.mark.parametrize("tokens", [5, 6, 7, 50, 99])
def test_what_is_cut_fits(text: str, tokens: int) -> None:
    """No character is broken, the start is kept, and little room is given away."""
    cut = cut_to_tokens(text, tokens, mark="~")
    assert estimate_tokens(cut) <= tokens
    assert text.startswith(cut.removesuffix("~"))
    assert cut.endswith("~")
    assert estimate_tokens(cut) >= tokens - 2


def test_what_fits_is_left_alone() -> None:
    """To the last byte."""
    text = "x" * 30
    assert cut_to_tokens(text, estimate_tokens(text), mark="~") == text


def test_there_may_be_no_room_at_all() -> None:
    """Then nothing is left, not even the mark."""
    assert cut_to_tokens("x" * 30, 0, mark="~") == ""
