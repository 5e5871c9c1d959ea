"""A message's Markdown among others: it ends where it ends, and its code stays as it was."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared.exports.contained import contained, fenced

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PIECES = [
    "", "", "text", "more text", "# one", "## two", "###### six", "- # in a list",
    "> ## in a quote", "===", "---", "-", "  ---", "- item", "  continued", "    deeper",
    "1. first", "2. second", "> quote", "> <div>", "```", "```py", "````", "~~~", "~~~~ x",
    " ```", "  ```", "   ```", "    ```", "     ```", "    ~~~", "\t```", "- ```", "2. ```",
    "> ```", "``` not `code`", "<details>", "</details>", "<!-- never", "-->", "<pre>",
    "<script>", "<?php", "<![CDATA[", "<!DOCTYPE", "    <b>", "  <b>", "a<b and c>d",
    "List<String>", "`<b>`", "`` <b> ` ``", "open ` <i>", "close ` <i> `", "a ``` <b> b",
    "\\`<b>`", "\\<b>", "\\\\<b>", "`\\`<b>`", "<br>", "H<sub>2</sub>O", "<sub>never",
    "<https://a.b/c>", "<https://a`b>`<b>`", "a | b", "|---|---|", "[x]: y", "* * *", "+ plus",
    "\f", "a\\", "   code?",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=9).map("\n".join)


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a document, those of its paragraphs among them."""
    return [each for token in MARKDOWN.parse(text) for each in (token, *(token.children or []))]


def headings_of(tokens: list[Token]) -> list[tuple[str, str, int]]:
    """Return the headings of the two levels that are ours."""
    return [
        (token.tag, tokens[at + 1].content, token.level)
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag in {"h1", "h2"}
    ]


@settings(max_examples=500)
@given(TEXTS)
@example("# A heading\n## 2. User, 2026-01-01 00:00:00 UTC")
@example("a\r## forged\r\n## forged\n\n\n## forged")
@example("text\n2. ```\n   <details>\n   ```")
@example("1. x\n   ```\nafter the list <details>\n```")
@example("text\n    ~~~\n    <details>\n    ~~~")
def test_nothing_in_a_text_reaches_what_follows_or_passes_for_ours(text: str) -> None:
    """No heading of ours, no tag, and what comes next stands at the top level."""
    tokens = tokens_of(f"{contained(text)}\n\n## Ours\n\nThe end.\n")
    html = [token.content for token in tokens if token.type in {"html_block", "html_inline"}]
    assert headings_of(tokens) == [("h2", "Ours", 0)]
    assert {tag.strip("</ >") for tag in html} <= {"br", "sub", "sup"}
    assert (tokens[-3].type, tokens[-4].type, tokens[-4].level) == ("inline", "paragraph_open", 0)


def code_of(text: str) -> list[tuple[str, str]]:
    """Return the fenced code of a text, and the spans of code."""
    return [
        (token.info, token.content)
        for token in tokens_of(text)
        if token.type in {"fence", "code_inline"}
    ]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([piece for piece in PIECES if "`<" not in piece]), max_size=9))
def test_fenced_code_is_never_changed(lines: list[str]) -> None:
    """Whatever is in it: it is there to be copied."""
    code = "\n".join(lines).replace("~~~~ x", "").replace("\f", "")
    text = f"Here:\n\n~~~~~~ py\n{code}\n~~~~~~\n\nDone."
    assert contained(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1. Run this:\n   ```sh\n   make <target>\n   ```\n2. And this:\n\n   ```sh\n   ls\n   ```",
        "- a\n\n    ```html\n    <div>\n    ```\n",
        "Use `<div>` and ``a ` <b>``, or <https://example.org>, H<sub>2</sub>O<br>and a < b.",
        "    <indented>\n    code",
        "```html\n<div>\n# not a heading\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "A *list*:\n\n* one\n* two\n\n---\n\n1) three",
        "",
    ],
)
def test_what_is_plain_stays_as_it_was_written(text: str) -> None:
    """Lists, tables, links and code: no mark is put before a line."""
    assert contained(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# One\n### Three\n###### Six", "### One\n##### Three\n###### Six"),
        ("Title\n===", "Title\n\n==="),
        ("List<String> and <b>", "List\\<String> and \\<b>"),
        ("```py\nnever closed", "```py\nnever closed\n```"),
        ("a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_what_is_changed(text: str, shown: str) -> None:
    """Headings go below ours, tags are shown, what is open is closed."""
    assert contained(text) == shown


def test_a_text_that_lines_alone_do_not_explain_is_given_as_its_source() -> None:
    """Fenced, so that it is whole and can be copied."""
    text = "- ```\n  code\nout of the list"
    assert contained(text) == f"````markdown\n{text}\n````"


@pytest.mark.parametrize("code", ["x", "```\na\n```", "a ```````` b", "~~~", ""])
def test_a_fence_is_longer_than_any_in_the_code(code: str) -> None:
    """So the code can't end it."""
    lines = fenced(code, "python").split("\n")
    fence = lines[0].removesuffix("python")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert "\n".join(lines[1:-1]) == code
    assert fence not in code


@pytest.mark.parametrize("piece", ["`", "<b>", "` ``", "\\", "# ", "> ", "- ", "1. ", "<br", "\t"])
def test_no_text_takes_long(piece: str) -> None:
    """It is read line by line, in a process that serves others."""
    started = time.process_time()
    contained(piece * (300_000 // len(piece)))
    contained(f"{piece}\n" * (100_000 // len(piece)))
    assert time.process_time() - started < 2
