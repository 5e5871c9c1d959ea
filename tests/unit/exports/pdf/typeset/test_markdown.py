"""Markdown becomes blocks, and nothing of a text is lost on the way."""

import json
import time
from typing import Any

import pytest

from shared.exports.pdf.typeset import mathematics
from shared.exports.pdf.typeset.markdown import caption_of, fenced_blocks, markdown_blocks
from shared.exports.pdf.typeset.text import Characters


def blocks(text: str) -> list[Any]:
    return markdown_blocks(text, Characters())


def words(text: str) -> str:
    """Return everything that would be printed, as one string."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(blocks(text))
    return " ".join(found)


def test_a_paragraph_has_its_styles() -> None:
    """Bold, italic, struck out and code, also one in another."""
    assert blocks("a **b** *c* ~~d~~ `e` ***f***") == [
        [
            "p",
            "ltr",
            [
                *(["", "a "], ["b", "b"], ["", " "], ["i", "c"], ["", " "], ["s", "d"], ["", " "]),
                *(["c", "e"], ["", " "], ["ib", "f"]),
            ],
            False,
        ]
    ]


def test_blocks_of_every_kind() -> None:
    """Headings, lists in lists, quotes, rules, code and tables keep their shape."""
    text = "## H\n\n- a\n  1. b\n\n> q\n\n---\n\n```py path=a.py\nx\n```\n\n|h|\n|-:|\n|c|\n"
    assert [block[0] for block in blocks(text)] == ["h", "list", "quote", "rule", "code", "table"]
    _, inner, *_ = blocks(text)
    assert inner[3][0][1][:3] == ["list", "ltr", 1]
    assert blocks(text)[4] == ["code", "a.py · py", "x", {}, True, True]
    assert blocks(text)[5][3] == ["right"]


def test_a_link_is_followed_by_its_address() -> None:
    """On paper nobody can click; in the file only addresses of the web can be."""
    assert blocks("[t](https://a.b/c)")[0][2] == [
        ["l", "https://a.b/c", [["", "t"], ["a", " (https://a.b/c)"]]]
    ]
    assert blocks("<https://a.b>")[0][2] == [["l", "https://a.b", [["", "https://a.b"]]]]
    assert blocks("[t](../up)")[0][2] == [["", "t"], ["a", " (../up)"]]
    assert not any(run[0] == "l" for run in blocks("[t](javascript:alert(1))")[0][2])


@pytest.mark.parametrize(
    "text",
    [
        "<b onclick=x>html</b>",
        "<script>\nalert(1)\n</script>",
        "[name]: https://a.b/c",
        '#import "x" #read("/etc/passwd") $x$ <label> @ref',
    ],
)
def test_what_is_not_rendered_is_shown_as_it_is(text: str) -> None:
    """HTML, definitions and the typesetter's own language are text."""
    printed = words(text)
    assert all(word in printed for word in text.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![cat](https://a.b/c.png)", "[image: cat] (https://a.b/c.png)"),
        ("![cat](data:image/png;base64,QUJD)", "[image: cat]"),
        ("![](data:image/svg+xml;base64,QUJD)", "[image: unnamed]"),
        ("[file](data:text/plain;base64,QUJD)", "file"),
    ],
)
def test_an_image_is_named(text: str, shown: str) -> None:
    """By its text and its address, but for one that is all of the image."""
    assert shown in words(text)
    assert "QUJD" not in words(text)


def test_an_image_in_a_plain_text_is_named_too() -> None:
    """What a user pastes is not read as markdown, and yet no reader wants pages of base64."""
    shown = fenced_blocks("See ![cat](data:image/png;base64,QUJD).", Characters())
    assert shown == [["p", "ltr", [["", "See [image: cat]."]], False]]


def test_breaks_raised_and_lowered_text() -> None:
    """The few tags that models write where markdown has nothing; alone they are text."""
    assert blocks("a<br>b H<sub>2</sub>O x<SUP>2</SUP> <sub>c")[0][2] == [
        *(["", "a"], ["", "\n"], ["", "b H"], ["d", "2"], ["", "O x"], ["u", "2"]),
        ["", " <sub>c"],
    ]


def test_footnotes() -> None:
    """Their marks are raised, where they are referred to and before their texts."""
    assert blocks("See[^a].\n\n[^a]: One\n[^b]: Two") == [
        ["p", "ltr", [["", "See"], ["u", "a"], ["", "."]], False],
        ["p", "ltr", [["u", "a"], ["", " One"], ["", "\n"], ["u", "b"], ["", " Two"]], False],
    ]


def formulas(text: str) -> list[str]:
    """Return the sources of the formulas that are set."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            if value[:1] in (["t"], ["math"]):
                found.append(value[5])
            for item in value:
                walk(item)

    walk(blocks(text))
    return found


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        (r"so \( x^2 \) and $y_1$.", [r"\( x^2 \)", "$y_1$"]),
        ("\\[\nA\n= B\n- C\n\\]", [r"\[ A = B - C \]"]),
        ("text\n$$\\frac{a}{b}$$\nmore", [r"$$\frac{a}{b}$$"]),
        ("- in a list $$x$$\n\n  \\[\n  y\n  \\]", ["$$x$$", r"\[ y \]"]),
        ("|a|\n|-|\n|$x$|", ["$x$"]),
        ("costs $5 and $6, or $7-$8", []),
        ("$HOME:$USER and US$5 $ x $", []),
        (r"escaped \$x\$ and \\( y \\)", []),
        ("`$x$`\n\n```\n$$x$$\n```", []),
        ("$$\nnever closed\n\ntext", []),
        (r"$\unknown{x}$ $\frac{1}$ $$\text{日本}$$", []),
    ],
)
def test_mathematics_is_set(text: str, sources: list[str]) -> None:
    """Between its marks, across lines too; prices and code are none."""
    assert formulas(text) == sources


@pytest.mark.parametrize("text", [r"$\unknown{x}$", r"$$\frac{1}$$", "$$\n日本\n$$"])
def test_what_can_not_be_set_is_shown_as_it_was_written(text: str) -> None:
    """With every backslash."""
    assert text.split() == words(text).replace("p ltr  ", "").split()


def test_formulas_are_set_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of nothing else ends in time: the rest stands as it was written."""
    monkeypatch.setattr(mathematics, "MAX_FORMULAS", 0)
    assert words("$x_{17}$") == "p ltr  $x_{17}$"


@pytest.mark.parametrize("piece", ["$", "\\(", "\\[\n", "$$\n", "[^", "<sub>", "$a ", "![a](data:"])
def test_no_mark_that_is_left_open_takes_long(piece: str) -> None:
    """A text of nothing but openings is text."""
    started = time.process_time()
    blocks(piece * (25_000 // len(piece)))
    assert time.process_time() - started < 4


@pytest.mark.parametrize(
    "text",
    [
        ">" * 200 + " deep",
        "\n".join("  " * depth + f"- item{depth}" for depth in range(60)),
        "> " * 40 + "```\n" + "> " * 40 + "deep",
        "|a|\n|-|\n|b|c|",
        "[" * 3000 + "deep",
        "*a _b " * 1000 + "deep",
    ],
)
def test_nothing_is_lost_however_it_is_nested(text: str) -> None:
    """What markdown leaves out, because it is too deep or has no column, is shown plainly."""
    letters = [char for char in text if char.isalnum()]
    assert [char for char in words(text) if char in set(letters)].count("d") >= letters.count("d")
    assert all(f"item{depth}" in words(text) for depth in range(60) if f"item{depth}\n" in text)
    assert "c" not in text.split("|") or "c" in words(text)


def test_the_words_of_a_user_are_plain() -> None:
    """Only fenced code is markdown there; lines stay lines."""
    text = "*not* bold\n  # no heading\n\n```js\nlet x;\n```\nafter"
    assert fenced_blocks(text, Characters()) == [
        ["p", "ltr", [["", "*not* bold\n  # no heading"]], False],
        ["code", "js", "let x;", {}, True, True],
        ["p", "ltr", [["", "after"]], False],
    ]


def test_code_that_never_closes_is_code_to_the_end() -> None:
    """A reply that was cut off keeps its last lines."""
    assert blocks("```py\nx = 1")[0][2] == "x = 1"


def test_long_code_comes_in_slices() -> None:
    """Its lines are all there, its caption once."""
    text = "```py\n" + "\n".join(f"line_{n}" for n in range(2500)) + "\n```"
    slices = blocks(text)
    assert [(part[1], part[4], part[5]) for part in slices] == [
        ("py", True, False),
        ("", False, False),
        ("", False, True),
    ]
    assert "\n".join(part[2] for part in slices).split("\n")[-1] == "line_2499"


@pytest.mark.parametrize(
    ("info", "caption"),
    [
        ("", ""),
        ("python", "python"),
        ("python path=src/a.py", "src/a.py · python"),
        ('ts title="a b.ts"', "a b.ts · ts"),
        ("python src/a.py", "src/a.py · python"),
        ("a b c d", "a b c d"),
    ],
)
def test_a_caption_names_path_and_language(info: str, caption: str) -> None:
    """However the info string spells them."""
    assert caption_of(info) == caption


def test_blocks_are_plain_json() -> None:
    """The template gets them as data."""
    text = "# a\n\n- b\n\n|c|\n|-|\n|d|\n\n[e](https://f.g)"
    assert json.loads(json.dumps(blocks(text))) == blocks(text)
