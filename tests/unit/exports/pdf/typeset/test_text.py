"""Every character is shown: by a glyph, or by its number."""

import pytest

from shared.exports.pdf.typeset.fonts import characters, families
from shared.exports.pdf.typeset.text import Characters, direction, first_words, han_variant


def plain(text: str) -> str:
    return "".join(run[1] for run in Characters().runs(text) if run[0] != "k")


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\x07", "\x85"])
def test_what_cannot_be_seen_is_shown_by_its_number(char: str) -> None:
    """Bidi overrides and controls can't hide or turn text."""
    number = f"U+{ord(char):04X}"
    assert Characters().runs(f"a{char}b") == [["", "a"], ["x", number], ["", "b"]]
    assert Characters().in_code(f"a{char}b") == f"a[{number}]b"


@pytest.mark.parametrize("text", ["\ue000", "\u0378", "\uffff", "\U000103a0\U000103a1"])
def test_what_has_no_glyph_is_there_with_its_numbers(text: str) -> None:
    """As one word, so that it can be copied."""
    seen = Characters()
    numbers = [["x", f"U+{ord(char):04X}"] for char in text]
    assert seen.runs(f"a{text}b") == [["", "a"], ["m", text], *numbers, ["", "b"]]
    assert seen.has_missing
    assert not Characters().has_missing


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("নমস্কার বিশ্ব।", "Noto Sans Bengali"),
        ("สวัสดี (2026) ชาวโลก", "Noto Sans Thai"),
        ("Բարեւ աշխարհ:", "Noto Sans Armenian"),
        ("བཀྲ་ཤིས།", "Noto Serif Tibetan"),
    ],
)
def test_a_stretch_of_a_script_has_its_font(text: str, family: str) -> None:
    """Its spaces and signs too: it is shaped and copied as one."""
    assert Characters().runs(f"a {text} b") == [["", "a "], ["f", text, family], ["", " b"]]


@pytest.mark.parametrize("char", ["\u200b", "\u200e", "\u2060", "\u00ad"])
def test_code_spells_out_what_prose_may_hide(char: str) -> None:
    """What keeps words apart in prose has no business in code."""
    assert plain(f"a{char}b") == f"a{char}b"
    assert Characters().in_code(f"a{char}b") == f"a[U+{ord(char):04X}]b"


@pytest.mark.parametrize(
    "text",
    [
        "Straße, naïve",
        "Ελληνικά",
        "Кириллица",
        "你好 世界",
        "こんにちは",
        "한국어",
        "مرحبا",
        "שלום",
    ],
)
def test_every_script_has_a_font(text: str) -> None:
    """No character of these scripts has to be shown by its number."""
    assert Characters().runs(text) == [["", text]]


def test_emoji_and_symbols_have_fonts() -> None:
    """A glyph of a sequence is one of the emoji's font; arrows and mathematics have one too."""
    text = "😀👩‍👩‍👧🇯🇵❤️👍🏽✓→∑∞─█"
    assert plain(text) == text
    assert not any(run[0] == "x" for run in Characters().runs(text))


def test_a_sign_that_would_be_put_together_of_two_gets_a_font_that_has_it() -> None:
    """Otherwise it would be copied twice."""
    run = Characters().runs("≠")[0]
    assert run[:2] == ["f", "≠"]
    assert ord("≠") in characters(run[2])


def test_a_storm_of_marks_is_kept_and_tamed() -> None:
    """All of them are there, no more than a few on one letter."""
    shown = plain("e" + "\u0301" * 100)
    assert shown.count("\u0301") == 100
    assert "\u0301" * 6 not in shown


def test_a_word_too_long_may_break_and_loses_nothing() -> None:
    """There is a place to break every forty characters."""
    runs = Characters().runs("x" * 1000)
    assert sum(run[0] == "k" for run in runs) >= 20
    assert plain("x" * 1000) == "x" * 1000


@pytest.mark.parametrize(
    ("text", "way"),
    [("abc", "ltr"), ("123 שלום abc", "rtl"), ("- مرحبا", "rtl"), ("漢字", "ltr"), ("", "ltr")],
)
def test_the_first_letter_says_the_direction(text: str, way: str) -> None:
    """Digits and signs have none of their own."""
    assert direction(text) == way


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("plain", None),
        ("漢字とかな", "jp"),
        ("漢字 한국어", "kr"),
        ("这个问题", "sc"),
        ("這個問題", "tc"),
        ("山水", "sc"),
    ],
)
def test_a_text_says_whose_characters_it_has(text: str, variant: str | None) -> None:
    """Kana means Japanese, hangul Korean, and Chinese is known by its commonest characters."""
    assert han_variant(text) == variant
    assert families("jp").index("Noto Sans JP") < families("jp").index("Noto Sans SC")


def test_an_outline_has_the_first_words_on_one_line() -> None:
    """Nothing in it breaks a line or turns the order around."""
    assert first_words("  one\n\ntwo\u202e three ") == "one two three"
    assert first_words("word " * 100).endswith("word…")
    assert len(first_words("x" * 1000)) <= 65
