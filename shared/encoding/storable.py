r"""Text that Postgres can't store, made storable and back again.

A Postgres string holds neither U+0000 nor a lone surrogate (U+D800 to U+DFFF). Where a text has
one of them, each is written as a backslash, `u` and four lower-case hex digits: `\u0000`, `\ud83d`.

So that this can be undone, backslashes directly in front of such an escape, and in front of
text that merely looks like one, are doubled. Reading back, an odd run of backslashes ends in an
escape and an even run does not. All other backslashes stay as they are.

A text with nothing unstorable in it is not touched at all, not even where it holds `\u0000`
spelled out: store the flag, and call `unescape` only on a text that was flagged.
"""

from __future__ import annotations

import re
from typing import Any, Final

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


class Escaper:
    """Escapes every string in a JSON value and remembers whether it had to."""

    def __init__(self) -> None:
        self.has_escaped = False

    def __call__(self, value: Any) -> Any:
        """Return the value with every string in it escaped, names too."""
        if isinstance(value, str):
            escaped, changed = escape_unstorable(value)
            self.has_escaped = self.has_escaped or changed
            return escaped
        if isinstance(value, dict):
            return {self(key): self(item) for key, item in value.items()}
        return [self(item) for item in value] if isinstance(value, list) else value


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
