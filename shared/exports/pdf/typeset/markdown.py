"""Markdown as blocks: what the template can set, made of lists and strings alone.

A block is a list that begins with its kind:

    ["p", direction, runs, goes_on]   a paragraph, or more of the one before
    ["h", level, direction, runs]     a heading of the text
    ["code", caption, text, lines, is_first, is_last]  a slice of code; `lines` has the numbers
                                      (from 1) of those that go on from the one before
    ["list", direction, start, items] start is null for bullets; an item is a list of blocks
    ["quote", direction, blocks]
    ["table", direction, weights, aligns, rows]  the first row is the head; a cell is runs
    ["rule"]
    ["math", *a formula]

HTML and definitions of links are shown as the text that they are. What is nested too
deeply, or so large that reading it as markdown would take long, is shown as plain text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt

from ....encoding.files import PATH_ATTRIBUTE
from .code import wrap
from .inline import inline_runs
from .mathematics import formula
from .rules import extend
from .text import direction, normal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

    from .text import Characters, Run

Block = list[Any]

MAX_CHARS: Final = 300_000  # that are read as markdown
MAX_DEPTH: Final = 24  # of tokens: a list in a list is four
TABLE_CHARS: Final = 84  # of middle width, side by side in a table
MAX_WORD: Final = 40  # characters; in a longer one there are places to break
SLICE_LINES: Final = 1_000
PARAGRAPH_RUNS: Final = 1_000
_BLANK_LINES: Final = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_FENCES: Final = MarkdownIt("zero").enable("fence")
_DATA_IMAGE: Final = re.compile(r"!\[([^\]]{0,300})\]\(data:[^\s)]*\)")


class _Parser(MarkdownIt):
    """Takes any address: it is shown, and only what is clickable leads anywhere."""

    def validateLink(self, url: str) -> bool:  # noqa: ARG002, N802 - the parser's own
        return True


_MARKDOWN: Final = extend(
    _Parser("commonmark", {"html": False, "maxNesting": MAX_DEPTH + 2})
    .enable(["table", "strikethrough"])
    .disable(["reference", "html_block", "html_inline"])
)


def markdown_blocks(text: str, characters: Characters) -> list[Block]:
    """Return the blocks of a markdown text."""
    if len(text) > MAX_CHARS:
        return fenced_blocks(text, characters)
    try:
        tokens = _MARKDOWN.parse(text)
    except RecursionError:
        return fenced_blocks(text, characters)
    if any(token.level >= MAX_DEPTH for token in tokens):
        return fenced_blocks(text, characters)
    return _Builder(text, characters).blocks(tokens)


def fenced_blocks(text: str, characters: Characters) -> list[Block]:
    """Return the blocks of a plain text, in which only fenced code is markdown."""
    lines = _with_newlines(text).split("\n")
    blocks: list[Block] = []
    start = 0
    for token in _FENCES.parse("\n".join(lines)):
        if token.type == "fence" and token.map is not None:
            blocks += plain_blocks("\n".join(lines[start : token.map[0]]), characters)
            blocks += code_blocks(token.content, characters, caption=caption_of(token.info))
            start = token.map[1]
    return blocks + plain_blocks("\n".join(lines[start:]), characters)


def plain_blocks(text: str, characters: Characters) -> list[Block]:
    """Return the paragraphs of a plain text, line by line as they were written."""
    named = _DATA_IMAGE.sub(r"[image: \1]", text)
    return [
        block
        for paragraph in _BLANK_LINES.split(normal(named))
        if (shown := paragraph.strip("\n").rstrip())
        for block in _paragraphs(direction(shown), characters.runs(shown))
    ]


def code_blocks(text: str, characters: Characters, *, caption: str = "") -> list[Block]:
    """Return code as blocks: the typesetter's time grows with the square of a block's lines."""
    shown = wrap(characters.in_code(text.removesuffix("\n")))
    starts = range(0, len(shown), SLICE_LINES)
    return [
        [
            "code",
            characters.in_code(caption) if start == 0 else "",
            "\n".join(line for line, _ in shown[start : start + SLICE_LINES]),
            {
                str(at): 1
                for at, line in enumerate(shown[start : start + SLICE_LINES], 1)
                if line[1]
            },
            start == 0,
            start == starts[-1],
        ]
        for start in starts
    ]


def caption_of(info: str) -> str:
    """Return what is written above code: its path, where it has one, and its language."""
    words = info.split()
    attribute = PATH_ATTRIBUTE.search(info)
    if attribute is None:
        return " · ".join(reversed(words[:2])) if len(words) <= 2 else info.strip()
    path = next(group for group in attribute.groups() if group is not None)
    language = words[0] if words and "=" not in words[0] else ""
    return " · ".join(part for part in (path, language) if part)


class _Builder:
    """Walks over the tokens of one text."""

    def __init__(self, source: str, characters: Characters) -> None:
        self._lines = _with_newlines(source).split("\n")
        self._characters = characters

    def blocks(self, tokens: Sequence[Token]) -> list[Block]:
        return [block for group in _groups(tokens) for block in self._block(group)]

    def _block(self, group: Sequence[Token]) -> list[Block]:
        match group[0].type:
            case "paragraph_open":
                return _paragraphs(direction(group[1].content), self._runs(group[1]))
            case "heading_open":
                level, content = int(group[0].tag[1]), group[1]
                return [["h", level, direction(content.content), self._runs(content)]]
            case "fence" | "code_block":
                shown = caption_of(group[0].info)
                return code_blocks(group[0].content, self._characters, caption=shown)
            case "bullet_list_open" | "ordered_list_open":
                return [self._list(group)]
            case "blockquote_open":
                return [["quote", direction(_text_of(group)), self.blocks(group[1:-1])]]
            case "table_open":
                return self._table(group)
            case "hr" | "math_block":
                return self._leaf(group[0])
        return plain_blocks(group[0].content, self._characters)

    def _leaf(self, token: Token) -> list[Block]:
        if token.type == "hr":
            return [["rule"]]
        drawn = formula(token.content, token.markup)
        return [["math", *drawn]] if drawn else plain_blocks(token.markup, self._characters)

    def _runs(self, inline: Token) -> list[Run]:
        return inline_runs(inline.children or [], self._characters)

    def _list(self, group: Sequence[Token]) -> Block:
        is_ordered = group[0].type == "ordered_list_open"
        start = int(group[0].attrGet("start") or 1) if is_ordered else None
        items = [self.blocks(item[1:-1]) for item in _groups(group[1:-1])]
        return ["list", direction(_text_of(group)), start, items]

    def _table(self, group: Sequence[Token]) -> list[Block]:
        rows = [
            list(_groups(row[1:-1])) for part in _groups(group[1:-1]) for row in _groups(part[1:-1])
        ]
        texts = [[cell[1].content for cell in row] for row in rows]
        source = self._source(group[0])
        # Cells beyond those of the head belong to no column: markdown would leave them out.
        is_whole = _letters(source) <= sum(_letters(text) for row in texts for text in row)
        weights = _weights(texts)
        if not is_whole or not _fits(texts, weights):
            return code_blocks(source, self._characters)
        aligns = [
            str(cell[0].attrGet("style") or "").removeprefix("text-align:") for cell in rows[0]
        ]
        cells = [[self._runs(cell[1]) for cell in row] for row in rows]
        return [["table", direction(_text_of(group)), weights, aligns, cells]]

    def _source(self, token: Token) -> str:
        first, last = token.map or (0, 0)
        return "\n".join(self._lines[first:last])


def _groups(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the tokens of one block after the other."""
    start = depth = 0
    for place, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0:
            yield tokens[start : place + 1]
            start = place + 1


def _paragraphs(way: str, runs: list[Run]) -> list[Block]:
    """Return a paragraph, in several if it has more runs than the typesetter does well."""
    starts = range(0, len(runs), PARAGRAPH_RUNS)
    return [["p", way, runs[start : start + PARAGRAPH_RUNS], start > 0] for start in starts]


def _weights(texts: list[list[str]]) -> list[int]:
    """Return how wide each column is to be, as its longest cell asks for, within bounds."""
    return [min(48, max(6, *(len(cell) for cell in column))) for column in zip(*texts, strict=True)]


def _fits(texts: list[list[str]], weights: list[int]) -> bool:
    """Say whether the longest word of each column has room in it."""
    columns = zip(zip(*texts, strict=True), weights, strict=True)
    return all(
        min(MAX_WORD, max(len(word) for cell in column for word in (cell.split() or [""])))
        <= TABLE_CHARS * weight / sum(weights)
        for column, weight in columns
    )


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


def _text_of(group: Sequence[Token]) -> str:
    return next((token.content for token in group if token.type == "inline"), "")


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
