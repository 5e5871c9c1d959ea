"""The inside of a paragraph: markdown's inline tokens as runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from shared.exports.pdf.typeset.text import Characters, Run

_STYLES: Final = {"strong": "b", "em": "i", "s": "s"}
_CLICKABLE: Final = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+\Z", re.IGNORECASE)


def inline_runs(tokens: Sequence[Token], characters: Characters) -> list[Run]:
    """Return the runs of a paragraph; a link is followed by its address, an image is its source."""
    return _Inline(characters).read(tokens)


class _Inline:
    def __init__(self, characters: Characters) -> None:
        self._characters = characters
        self._styles: list[str] = []
        self._runs: list[Run] = []
        self._outside: list[Run] | None = None
        self._address = ""

    def read(self, tokens: Sequence[Token]) -> list[Run]:
        for token in tokens:
            self._read(token)
        return self._runs

    def _read(self, token: Token) -> None:
        mark, _, place = token.type.rpartition("_")
        if mark in _STYLES and place == "open":
            self._styles.append(_STYLES[mark])
        elif mark in _STYLES and place == "close":
            self._styles.remove(_STYLES[mark])
        elif token.type == "link_open":
            self._open_link(str(token.attrGet("href") or ""))
        elif token.type == "link_close":
            self._close_link()
        else:
            self._add(_shown(token), code=token.type == "code_inline")

    def _add(self, text: str, *, code: bool = False) -> None:
        style = "".join(dict.fromkeys(self._styles)) + ("c" if code else "")
        self._runs += self._characters.runs(text, style)

    def _open_link(self, address: str) -> None:
        self._outside, self._runs, self._address = self._runs, [], address

    def _close_link(self) -> None:
        inside, outside = self._runs, self._outside or []
        shown = "".join(run[1] for run in inside if len(run) > 1 and isinstance(run[1], str))
        if self._address and shown not in {self._address, self._address.removeprefix("mailto:")}:
            inside += self._characters.runs(f" ({self._address})" if shown else self._address, "a")
        is_clickable = _CLICKABLE.match(self._address) is not None
        outside += [["l", self._address, inside]] if is_clickable else inside
        self._runs, self._outside = outside, None


def _shown(token: Token) -> str:
    match token.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "image":
            title = token.attrGet("title")
            more = f' "{title}"' if title else ""
            return f"![{token.content}]({token.attrGet('src')}{more})"
    return token.content
