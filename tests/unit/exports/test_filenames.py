"""File names that are safe in a header, in a folder and in a zip."""

import pytest

from shared.exports.filenames import slug

pytestmark = pytest.mark.promise("exports", red="a title is not made safe")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A plan", "A-plan"),
        ("../../etc/passwd", "etc-passwd"),
        ('a"b\r\nc;d', "a-b-c-d"),
        ("C:\\x|y?*", "C-x-y"),
        ("\u202egnp.exe", "gnp-exe"),
        ("日本語 é", "日本語-é"),
        ("🎉", ""),
        ("नमस्ते दुनिया", "नमस्ते-दुनिया"),
        ("สวัสดี\tที่นี่", "สวัสดี-ที่นี่"),
        ("\u0301é \u200dعَرَبِي", "é-عَرَبِي"),
        ("x" * 200, "x" * 60),
        ("\U00020000" * 200, "\U00020000" * 45),
    ],
)
def test_a_slug_holds_letters_digits_and_hyphens(title: str, name: str) -> None:
    """No separator, no control or direction mark, no dot."""
    assert slug(title) == name


def test_a_name_in_a_zip_fits_a_folder() -> None:
    """Which take 255 bytes: with the date, the conversation's id and the suffix, in any script."""
    for letter in ("x", "é", "字", "ส\u0e31", "\U00020000"):
        assert len(f"2026-11-22-{slug(letter * 200)}.{'0' * 36}.json".encode()) <= 255
