"""A message's Markdown, made fit to stand in a document with others.

Nothing in it can reach what follows or pass for what we wrote: the headings of a document's first
two levels stay ours, tags are shown and not obeyed, and what is opened is closed. All else stays as
it was written, code above all. A text whose structure its lines alone don't show, such as
code in a list that ends before the code does, is given as its source.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..encoding.files import fence_around

HEADING_LEVELS: Final = 2  # that are ours

_LINE_END: Final = re.compile(r"\r\n|\r|\n")  # what Markdown takes for one
_FENCE: Final = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})")
_CONTAINER: Final = re.compile(r"(?:[ \t]|>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t]))*")
_HEADING: Final = re.compile(r"#{1,6}(?=[ \t]|$)")
_UNDERLINE: Final = re.compile(r"[ \t>]*(?:=+|-+)[ \t]*$")
_LIST: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_RUN: Final = re.compile(r"`+")
_ADDRESS: Final = re.compile(r"<(?:https?://|mailto:)[^\s<>`]*>", re.IGNORECASE)
_HARMLESS: Final = re.compile(r"<br ?/?>|<(su[bp])>[^<>`\\]*</\1>", re.IGNORECASE)
_MARK: Final = re.compile(r"\\.|`+|<(?=[A-Za-z/!?])")


def contained(text: str) -> str:
    """Return a Markdown text that ends where it ends."""
    lines = [line.rstrip("\f\v") for line in _LINE_END.split(text)]
    try:
        return "\n".join(_Walk().lines(lines))
    except _UnclearError:
        return fenced("\n".join(lines), "markdown")


def fenced(code: str, info: str = "") -> str:
    """Return code between fences that are longer than any in it."""
    fence = fence_around(code)
    end = "" if code.endswith("\n") else "\n"
    return f"{fence}{info}\n{code}{end}{fence}"


class _UnclearError(Exception):
    """Lines alone don't tell what is code."""


class _Fence(NamedTuple):
    mark: str
    indent: int

    def is_closed_by(self, line: str, indent: int) -> bool:
        """Say whether this line ends the code."""
        shown = line.strip()
        is_mark = len(shown) >= len(self.mark) and not shown.strip(self.mark[0])
        if not is_mark or (self.indent == 0 and indent > 3):
            return False
        if self.indent and indent != self.indent:
            raise _UnclearError
        if self.indent > 3 and shown != self.mark:
            raise _UnclearError
        return True


class _Walk:
    """Goes through the lines of one text."""

    def __init__(self) -> None:
        self._fence: _Fence | None = None
        self._open_runs: set[int] = set()  # of backticks, in this paragraph
        self._has_list = False
        self._is_after_text = False
        self._is_in_indented = True

    def lines(self, lines: list[str]) -> list[str]:
        shown: list[str] = []
        for line in lines:
            if self._fence is not None:
                shown.append(self._in_code(line, self._fence))
            else:
                shown += self._outside(line)
        if self._fence is not None:
            if self._fence.indent:
                raise _UnclearError
            shown.append(self._fence.mark)
        return shown

    def _in_code(self, line: str, fence: _Fence) -> str:
        indent = _indent(line)
        if fence.is_closed_by(line, indent):
            self._fence = None
            if fence.indent <= 3:  # else it may be part of a paragraph
                self._end_paragraph()
        elif fence.indent and line.strip():
            has_run = fence.indent > 3 and len(fence.mark) in map(len, _RUN.findall(line))
            if indent < fence.indent or has_run:
                raise _UnclearError
        return line

    def _outside(self, line: str) -> list[str]:
        if not line.strip():
            self._end_paragraph()
            return [line]
        container = _CONTAINER.match(line)
        start = container.end() if container else 0
        if fence := _FENCE.match(line, start):
            self._fence = self._opened(fence[1], line, start)
            return [line]
        if self._is_code(line):
            return [line]
        self._has_list |= _LIST.match(line) is not None
        is_underline = self._is_after_text and _UNDERLINE.match(line) is not None
        self._is_after_text, self._is_in_indented = True, False
        nested = self._without_tags(_nested(line, start), start)
        return ["", nested] if is_underline else [nested]

    def _opened(self, mark: str, line: str, start: int) -> _Fence:
        indent = _indent(line)
        is_plain = not line[:start].strip()
        is_odd = indent > 3 and (mark[0] == "~" or len(mark) in self._open_runs)
        if not is_plain or is_odd or "|" in line:  # which may be a table
            raise _UnclearError
        return _Fence(mark, indent)

    def _is_code(self, line: str) -> bool:
        """Say whether the line is surely code by its indent."""
        return self._is_in_indented and not self._has_list and _indent(line) > 3

    def _end_paragraph(self) -> None:
        self._open_runs.clear()
        self._is_after_text, self._is_in_indented = False, True

    def _without_tags(self, line: str, start: int) -> str:
        """Return the line with a backslash before each tag that isn't in a code span.

        A harmless one stays, but for one at the line's start, which would begin a block of HTML.
        """
        last = {len(run[0]): run.start() for run in _RUN.finditer(line)}
        parts: list[str] = []
        done = at = 0
        while mark := _MARK.search(line, at):
            at = mark.end()
            if mark[0][0] == "`":
                at = self._behind_span(line, mark, last)
            elif mark[0] == "<" and (kept := _kept(line, mark.start(), start)):
                at = kept.end()
            elif mark[0] == "<":
                parts += [line[done : mark.start()], "\\"]
                done = mark.start()
        return "".join([*parts, line[done:]])

    def _behind_span(self, line: str, opening: re.Match[str], last: dict[int, int]) -> int:
        """Return where a code span ends; behind a run that is open, none is sure to be one."""
        length = len(opening[0])
        if not self._open_runs and last.get(length, -1) > opening.start():
            for run in _RUN.finditer(line, opening.end()):
                if len(run[0]) == length:
                    return run.end()
        self._open_runs.add(length)
        return opening.end()


def _kept(line: str, at: int, start: int) -> re.Match[str] | None:
    address = _ADDRESS.match(line, at)
    return address or (_HARMLESS.match(line, at) if at > start else None)


def _nested(line: str, start: int) -> str:
    """Return a line whose heading, if it is one, stands below ours."""
    heading = _HEADING.match(line, start)
    if heading is None:
        return line
    level = min(6, len(heading[0]) + HEADING_LEVELS)
    return line[:start] + "#" * level + line[heading.end() :]


def _indent(line: str) -> int:
    spaces = line[: len(line) - len(line.lstrip(" \t"))]
    return len(spaces.expandtabs(4))
