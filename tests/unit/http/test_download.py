"""The header that names a downloaded file."""

import pytest

from shared.http.download import content_disposition


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
