"""Unstorable text is escaped, and comes back as it was."""

import itertools
import random

import pytest

from shared.encoding.storable import escape_unstorable, unescape

PIECES = ["\\", "\x00", "\ud83d", "\udfff", "u0000", "ud83d", "uD83D", "\\u0000", "a", "😀", "\n"]


def assert_comes_back(text: str) -> None:
    escaped, is_escaped = escape_unstorable(text)
    assert "\x00" not in escaped
    escaped.encode()
    assert is_escaped == (escaped != text)
    assert (unescape(escaped) if is_escaped else escaped) == text


def test_every_short_mix_of_awkward_pieces_comes_back() -> None:
    """No arrangement of backslashes, escapes, look-alikes and bad characters is ambiguous."""
    for length in (1, 2, 3, 4):
        for pieces in itertools.product(PIECES, repeat=length):
            assert_comes_back("".join(pieces))


def test_random_long_texts_come_back() -> None:
    """Longer arrangements come back too."""
    source = random.Random(0)  # noqa: S311
    for _ in range(200):
        assert_comes_back("".join(source.choices(PIECES, k=source.randint(5, 300))))


@pytest.mark.parametrize("text", ["", "plain", "\\u0000 spelled out", "C:\\users", "مرحبا 漢字 😀"])
def test_storable_text_is_left_byte_for_byte(text: str) -> None:
    """Nothing is changed where nothing has to be."""
    assert escape_unstorable(text) == (text, False)


def test_escapes_are_readable() -> None:
    """The stored form shows which character was there."""
    assert escape_unstorable("a\x00b\ud83d") == ("a\\u0000b\\ud83d", True)


@pytest.mark.promise("strict input", red="every place of a run looked at from each")
@pytest.mark.timeout(20)
def test_a_run_of_a_million_backslashes_is_looked_at_once() -> None:
    """It took hours, in which the process did nothing else."""
    run = "\\" * 1_000_000
    for text in (f"\0{run}", f"{run}\0{run}x", "\0\\" * 200_000):
        assert unescape(escape_unstorable(text)[0]) == text
