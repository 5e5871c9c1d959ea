"""Fenced code blocks with a path become files."""

import pytest

from shared.encoding.files import is_safe_path, parse_files


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("python path=src/app.py", "python"),
        ('python path="src/app.py"', "python"),
        ("python title='src/app.py'", "python"),
        ("python {filename=src/app.py }", "python"),
        ("python src/app.py", "python"),
        ("src/app.py", None),
        ("path=src/app.py", None),
    ],
)
def test_an_info_string_with_a_path_makes_a_file(info: str, language: str | None) -> None:
    """The usual ways to name a file are understood."""
    (file,) = parse_files(f"Here:\n\n```{info}\nprint(1)\n\nprint(2)\n```\nDone.")
    assert (file.path, file.language, file.content) == (
        "src/app.py",
        language,
        "print(1)\n\nprint(2)\n",
    )


@pytest.mark.parametrize("info", ["", "python", "python linenums=1", "text some words", "c++"])
def test_a_block_without_a_path_is_only_text(info: str) -> None:
    """An example in the answer is not a file."""
    assert parse_files(f"```{info}\ncode\n```") == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up.py",
        "a/../../b",
        "a//b",
        "./a",
        "C:/x.py",
        "a\\b.py",
        "a\x00.py",
        "",
        "x" * 256,
    ],
)
def test_an_unsafe_path_is_refused(path: str) -> None:
    """No file leaves its root or carries a name that some system can't take."""
    assert not is_safe_path(path)
    assert parse_files(f'```python path="{path}"\ncode\n```') == []


@pytest.mark.parametrize("path", ["a.py", "src/Seite-ü.tsx", "日本/語.md", ".github/ci.yml"])
def test_a_plain_relative_path_is_taken(path: str) -> None:
    """Names in any language and dot files are fine."""
    assert [file.path for file in parse_files(f"```text path={path}\nx\n```")] == [path]


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("```python path=a.py\nprint(1)\n", []),
        ("```py a.py\nold\n```\n```py a.py\nnew\n```", ["new\n"]),
        ("````md README.md\n```sh\nmake\n```\n````", ["```sh\nmake\n```\n"]),
        ("~~~py a.py\n```\n~~~", ["```\n"]),
        ("```py a.py\r\nx = 1\r\n```\r\n", ["x = 1\r\n"]),
    ],
    ids=["never closed", "one path twice", "a fence in a longer one", "of tildes", "of Windows"],
)
def test_a_file_begins_and_ends_with_its_own_fence(text: str, contents: list[str]) -> None:
    """A reply that was cut leaves no half file behind; of two with one path the later counts."""
    assert [file.content for file in parse_files(text)] == contents


def test_many_open_fences_are_read_in_linear_time() -> None:
    """Two megabytes of fences are no way to hang the parser."""
    assert parse_files("```a\n" * 400_000) == []
    assert parse_files("`" * 2_000_000) == []
