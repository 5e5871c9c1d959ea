"""The inside of a paragraph: markdown's inline tokens as runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .mathematics import formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from .text import Characters, Run

_STYLES: Final = {"strong": "b", "em": "i", "s": "s", "sup": "u", "sub": "d"}
_CLICKABLE: Final = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+\Z", re.IGNORECASE)


def inline_runs(tokens: Sequence[Token], characters: Characters) -> list[Run]:
    """Return the runs of a paragraph; links and images are followed by their address."""
    return _Inline(characters).read(tokens)


def link_runs(title: str, address: str, characters: Characters) -> list[Run]:
    """Return a link with its address behind it, as `inline_runs` does."""
    reader = _Inline(characters)
    reader.link(title, address)
    return reader.runs


class _Inline:
    def __init__(self, characters: Characters) -> None:
        self._characters = characters
        self._styles: list[str] = []
        self.runs: list[Run] = []
        self._outside: list[Run] | None = None
        self._address = ""

    def read(self, tokens: Sequence[Token]) -> list[Run]:
        for token in tokens:
            self._read(token)
        return self.runs

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
        elif token.type == "math" and (drawn := formula(token.content, token.markup)):
            self.runs.append(["t", *drawn])
        else:
            self._add(_shown(token), code=token.type == "code_inline")

    def _add(self, text: str, *, code: bool = False) -> None:
        style = "".join(dict.fromkeys(self._styles)) + ("c" if code else "")
        self.runs += self._characters.runs(text, style)

    def link(self, title: str, address: str) -> None:
        """Add a link of one piece of text."""
        self._open_link(address)
        self._add(title)
        self._close_link()

    def _open_link(self, address: str) -> None:
        self._outside, self.runs, self._address = self.runs, [], address

    def _close_link(self) -> None:
        inside, outside = self.runs, self._outside or []
        if self._address.startswith("data:"):
            self._address = "data"
        shown = "".join(run[1] for run in inside if len(run) > 1 and isinstance(run[1], str))
        if self._address and shown not in {self._address, self._address.removeprefix("mailto:")}:
            inside += self._characters.runs(f" ({self._address})" if shown else self._address, "a")
        is_clickable = _CLICKABLE.match(self._address) is not None
        outside += [["l", self._address, inside]] if is_clickable else inside
        self.runs, self._outside = outside, None


def _shown(token: Token) -> str:
    match token.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "image":
            address = str(token.attrGet("src") or "")
            more = "" if address.startswith("data:") else f" ({address})"
            return f"[image: {token.content or token.attrGet('title') or 'unnamed'}]{more}"
        case "math":
            return token.markup
    return token.content
