"""What a text may hold beyond CommonMark: formulas, footnotes, `<br>`, raised and lowered text.

Formulas stand between `\\(` and `\\)`, `$` and `$` (a price is none), or on lines of their own
between `\\[` and `\\]`, `$$` and `$$`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_INLINE_MATH: Final = re.compile(
    r"\\\((?P<round>.{1,2000}?)\\\)|\\\[(?P<square>.{1,2000}?)\\\]|\$\$(?P<double>[^$]{1,2000})\$\$"
    r"|(?<![\w$])\$(?P<single>[^\s$](?:[^$\n]{0,500}[^\s$\\])?)\$(?![\w$])",
    re.DOTALL,
)
MAX_LINES: Final = 60  # of a formula
MAX_CHARS: Final = 3_000
_BLOCK_MATH: Final = {"$$": "$$", "\\[": "\\]"}
_BREAK: Final = re.compile(r"<br ?/?>", re.IGNORECASE)
_SCRIPT: Final = re.compile(r"<(su[bp])>([^<\n]{1,200})</\1>", re.IGNORECASE)
_FOOTNOTE: Final = re.compile(r"\[\^([^\s\[\]]{1,30})\]:?")


def extend(markdown: MarkdownIt) -> MarkdownIt:
    """Return the parser with these rules added."""
    markdown.inline.ruler.before("escape", "math", _math)
    markdown.inline.ruler.before("autolink", "tags", _tags)
    markdown.inline.ruler.before("link", "footnote", _footnote)
    alternatives = {"alt": ["paragraph", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "math_block", _math_block, alternatives)  # type: ignore[arg-type]
    return markdown


def _math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - as the parser calls it
    if state.src[state.pos] not in "\\$":
        return False
    found = _INLINE_MATH.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content, token.markup = found[found.lastgroup or 0], found[0]
    state.pos = found.end()
    return True


def _tags(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    if state.src[state.pos] != "<":
        return False
    if found := _BREAK.match(state.src, state.pos):
        if not silent:
            state.push("hardbreak", "br", 0)
    elif found := _SCRIPT.match(state.src, state.pos):
        if not silent:
            _push_raised(state, found[1].lower(), found[2])
    else:
        return False
    state.pos = found.end()
    return True


def _footnote(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Raise a footnote's mark: where it is referred to, and before its text."""
    if state.src[state.pos] != "[":
        return False
    found = _FOOTNOTE.match(state.src, state.pos)
    if found is None:
        return False
    is_definition = found[0].endswith(":") and state.src[max(0, state.pos - 1) : state.pos] in {
        "",
        "\n",
    }
    if not silent:
        if is_definition and state.tokens and state.tokens[-1].type == "softbreak":
            state.tokens[-1].type = "hardbreak"
        _push_raised(state, "sup", found[1])
    state.pos = found.end() if is_definition else found.end(1) + 1
    return True


def _push_raised(state: StateInline, kind: str, text: str) -> None:
    state.push(f"{kind}_open", kind, 1)
    state.push("text", "", 0).content = text
    state.push(f"{kind}_close", kind, -1)


def _math_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:  # noqa: FBT001
    """Take lines from one that opens a formula to the one that closes it."""
    if state.sCount[first] - state.blkIndent >= 4:
        return False
    start = state.bMarks[first] + state.tShift[first]
    opening = state.src[start : start + 2]
    closing = _BLOCK_MATH.get(opening)
    end = closing and _closing_line(state, first, last, closing)
    if closing is None or not end:
        return False
    if not silent:
        token = state.push("math_block", "", 0)
        token.markup = state.getLines(first, end, state.blkIndent, False).strip()  # noqa: FBT003
        token.content = token.markup.removeprefix(opening).removesuffix(closing)
        token.map = [first, end]
    state.line = end
    return True


def _closing_line(state: StateBlock, first: int, last: int, closing: str) -> int | None:
    """Return the line behind the one that ends with the mark; a blank line comes too early."""
    start = state.bMarks[first] + state.tShift[first] + len(closing)
    if state.src.find(closing, start, start + MAX_CHARS) < 0:
        return None
    for line in range(first, min(last, first + MAX_LINES)):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if not text or state.sCount[line] < state.blkIndent:
            return None
        if text.endswith(closing) and (line > first or len(text) > 4):
            return line + 1
    return None
