"""Lines of code are broken to fit the page, and lose nothing."""

import pytest

from shared.exports.pdf.typeset.code import COLUMNS, wrap


@pytest.mark.parametrize("text", ["", "x", "x" * COLUMNS, "a\n\nb\n", "    indented"])
def test_lines_that_fit_are_left_as_they_are(text: str) -> None:
    """Nothing is done where nothing has to be."""
    lines = wrap(text)
    assert "\n".join(line.text for line in lines) == text
    assert not any(line.is_continued for line in lines)


@pytest.mark.parametrize(
    "line",
    [
        "x" * 400,
        "word " * 80,
        "call(one,two);" * 30,
        "漢字" * 200,
        "e\u0301" * 300,
        "👩‍👩‍👧" * 100,
        " " * 400,
        "\u0301" * 400,
    ],
)
def test_a_line_too_long_is_broken_without_loss(line: str) -> None:
    """Its parts are the line, whatever it is made of, and each of them fits."""
    lines = wrap(line)
    assert "".join(part.text for part in lines) == line
    assert len(lines) > 1 or line == "\u0301" * 400
    assert [part.is_continued for part in lines] == [False] + [True] * (len(lines) - 1)
    assert all(len(part.text) <= COLUMNS for part in lines if part.text.isascii())


def test_a_line_breaks_behind_a_space_where_it_can() -> None:
    """A word stays whole where that costs little of the width."""
    assert [part.text for part in wrap("one two three", columns=9)] == ["one two ", "three"]


def test_a_letter_keeps_its_marks() -> None:
    """No line begins with a mark that belongs to the letter before."""
    parts = [part.text for part in wrap("ae\u0301b\u0301\u0302c" * 20, columns=7)]
    assert not any(part[0] in "\u0301\u0302" for part in parts)


def test_tabs_become_spaces_up_to_the_next_stop() -> None:
    """Columns stay columns."""
    assert wrap("\tx\ny\tz")[0].text == "    x"
    assert wrap("\tx\ny\tz")[1].text == "y   z"
