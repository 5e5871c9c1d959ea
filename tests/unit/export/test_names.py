"""File names that are safe in a header, in a folder and in a zip."""

import pytest

from shared.export.names import content_disposition, slug


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
        ("x" * 200, "x" * 60),
    ],
)
def test_a_slug_holds_letters_digits_and_hyphens(title: str, name: str) -> None:
    """No separator, no control or direction mark, no dot."""
    assert slug(title) == name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a-b.md", 'attachment; filename="a-b.md"'),
        ("é.md", "attachment; filename=\"e.md\"; filename*=UTF-8''%C3%A9.md"),
        ("1-日本.md", "attachment; filename=\"1.md\"; filename*=UTF-8''1-%E6%97%A5%E6%9C%AC.md"),
    ],
)
def test_the_header_has_a_name_for_every_client(name: str, header: str) -> None:
    """ASCII for the oldest, UTF-8 for all others."""
    assert content_disposition(name) == header
