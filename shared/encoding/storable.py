r"""Text that Postgres can't store, made storable and back again.

A Postgres string holds neither U+0000 nor a lone surrogate (U+D800 to U+DFFF). Where a text has
one of them, each is written as a backslash, `u` and four lower-case hex digits: `\u0000`, `\ud83d`.

So that this can be undone, backslashes directly in front of such an escape, and in front of
text that merely looks like one, are doubled. Reading back, an odd run of backslashes ends in an
escape and an even run does not. All other backslashes stay as they are.

A text with nothing unstorable in it is not touched at all, not even if it holds `\u0000`
spelled out: store the flag, and call `unescape` only on a text that was flagged.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 128  # of a JSON value: what the database takes

_ESCAPE: Final = r"u(?:0000|d[89abcdef][0-9a-f]{2})"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# A run of backslashes is looked at once, from its start: its length is all the time it takes.
_RUN_START: Final = r"(?<!\\)"
_TO_ESCAPE: Final = re.compile(
    rf"{_RUN_START}(\\*+)([\x00\ud800-\udfff])|{_RUN_START}(\\++)(?={_ESCAPE})"
)
_ESCAPED: Final = re.compile(rf"{_RUN_START}(\\++)({_ESCAPE})")


def escape_unstorable(text: str) -> tuple[str, bool]:
    """Return a text that Postgres stores, and whether it differs from the one given."""
    if not _UNSTORABLE.search(text):
        return text, False
    return _TO_ESCAPE.sub(_escape, text), True


def unescape(text: str) -> str:
    """Return the text that `escape_unstorable` was given, where it flagged its answer."""
    return _ESCAPED.sub(_unescape, text)


def map_texts(value: Any, change: Callable[[str], str], *, depth: int = MAX_DEPTH) -> Any:
    """Return a JSON value with every text in it changed, names too.

    Raises RecursionError if it is nested deeper than `depth`.
    """
    if not depth:
        raise RecursionError
    if isinstance(value, str):
        return change(value)
    inner = partial(map_texts, change=change, depth=depth - 1)
    if isinstance(value, dict):
        return {change(name): inner(item) for name, item in value.items()}
    return [inner(item) for item in value] if isinstance(value, list) else value


class Escaper:
    """Escapes every text in JSON values and remembers whether it had to."""

    def __init__(self) -> None:
        self.has_escaped = False

    def __call__(self, value: Any) -> Any:
        """Return the value with every text in it escaped, names too."""
        return map_texts(value, self._escape)

    def _escape(self, text: str) -> str:
        escaped, has_changed = escape_unstorable(text)
        self.has_escaped = self.has_escaped or has_changed
        return escaped


def _escape(match: re.Match[str]) -> str:
    backslashes, unstorable, lookalike = match.groups()
    if unstorable is None:
        return str(lookalike) * 2
    return f"{backslashes * 2}\\u{ord(unstorable):04x}"


def _unescape(match: re.Match[str]) -> str:
    backslashes, escape = match.groups()
    kept = "\\" * (len(backslashes) // 2)
    is_escape = len(backslashes) % 2 == 1
    return kept + (chr(int(escape[1:], 16)) if is_escape else escape)
