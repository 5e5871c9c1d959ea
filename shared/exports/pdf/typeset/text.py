"""Characters: what is shown of a text, in runs of one look each.

Nothing is dropped in silence. What no font holds, and what would be invisible or would turn the
order of others around, is shown by its number, such as U+202E; the former can still be copied.

A run is `[style, text]`. A style is a set of letters: `b` bold, `i` italic, `s` struck out, `c`
code, `u` raised, `d` lowered, `x` the number of a character, `m` text without glyphs, `f` a font of
its own (`[style, text, family]`). Three others stand alone: `["k"]` is a place where a line may
break, `["l", address, runs]` a link, `["t", ...]` a formula.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .fonts import BODY, SCRIPTS, characters, families

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = list[Any]

MAX_MARKS: Final = 5  # of one letter; more are shown on a dotted circle
TAB: Final = "    "
_NEWLINES: Final = re.compile("\r\n|[\r\u2028\u2029]")
_MARK_STORM: Final = re.compile(
    f"([\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff"
    f"\u1dc0-\u1dff\u20d0-\u20ff]{{{MAX_MARKS}}})(?=[\u0300-\u036f\u0483-\u0489\u0591-\u05bd"
    "\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff])"
)
# They shape the letters around them, or keep lines apart: invisible, and right to be.
_SHAPING: Final = frozenset("\n\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufe0e\ufe0f")
_HAN_CHAR: Final = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN_TEXT: Final = re.compile(f"[{_HAN_CHAR}\U00020000-\U0003ffff]")
_KANA: Final = re.compile("[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff\uff66-\uff9d]")
_HANGUL: Final = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
# The commonest characters that are written differently in the two Chinese scripts.
_TRADITIONAL: Final = re.compile("[們個這來時會說學國對後過還發經樣開關問頭無實現電話語讓應點體]")
_SIMPLIFIED: Final = re.compile("[们个这来时会说学国对后过还发经样开关问头无实现电话语让应点体]")
_STRONG: Final = {"L": "ltr", "R": "rtl", "AL": "rtl"}
# Stretches of one script, with the spaces and the signs that its words share with others.
_BEHIND: Final = ".,:;!?)\u0964\u0965\u2019\u201d\u2026"
_BETWEEN: Final = f" \u00a0\u200b\u200c\u200d\u25cc0123456789('\"\u2018\u201c\u2013{_BEHIND}-"
_SCRIPT: Final = re.compile(
    "|".join(
        f"([{blocks}](?:[{blocks}{_BETWEEN}]*[{blocks}])?[{_BEHIND}]*)"
        for blocks in SCRIPTS.values()
    )
)
_ANY_SCRIPT: Final = re.compile(f"[{''.join(SCRIPTS.values())}]")
_FAMILIES: Final = tuple(SCRIPTS)
_VIRAMA: Final = 9  # the combining class of what joins the letters around it
_LONG_WORD: Final = re.compile(
    # Where words have no spaces between them, the typesetter knows where they end.
    "(?:[^\\s\u0e00-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff]|[\u00a0\u2007\u202f]){41,}"
)
_PIECE: Final = re.compile(
    r"[^/?&=_.,;:+\u00a0\u2007\u202f-]{1,40}[/?&=_.,;:+\u00a0\u2007\u202f-]{0,8}"
    r"|[/?&=_.,;:+\u00a0\u2007\u202f-]{1,8}"
)


class _Group(NamedTuple):
    start: int
    end: int
    runs: list[Run]


class Characters:
    """Turns text into runs, and remembers what it found out about each character."""

    def __init__(self) -> None:
        self.has_missing = False  # whether a character came that no font holds
        self._plain: set[str] = set(_SHAPING)
        self._special: dict[str, Run] = {}

    def runs(self, text: str, style: str = "") -> list[Run]:
        """Return the text as runs of this style."""
        runs: list[Run] = []
        for piece in _breakable(normal(text)):
            runs += [_styled(run, style) for run in self._split(piece)] if piece else [["k"]]
        return runs

    def in_code(self, text: str) -> str:
        """Return the text for a block of code, where everything invisible is spelled out."""
        special = {char for char in set(text) if char not in "\n\t" and self._in_code(char)}
        if not special:
            return text
        spelled = {ord(char): f"[{number(char)}]" for char in special}
        return text.translate(spelled)

    def _in_code(self, char: str) -> bool:
        return char in _HIDDEN_IN_CODE or self._look(char)[0] == "x"

    def _split(self, text: str) -> Iterator[Run]:
        """Yield the text in runs: stretches of a script with their font, and what is between."""
        start = 0
        for stretch in _stretches(text):
            family = _FAMILIES[(stretch.lastindex or 1) - 1]
            if all(char in _BETWEEN or ord(char) in characters(family) for char in stretch[0]):
                yield from self._char_by_char(text[start : stretch.start()])
                yield ["f", stretch[0], family]
                start = stretch.end()
        yield from self._char_by_char(text[start:])

    def _char_by_char(self, text: str) -> Iterator[Run]:
        start = 0
        if self._has_special(text):
            for stretch in self._groups(text):
                if text[start : stretch.start]:
                    yield ["", text[start : stretch.start]]
                yield from stretch.runs
                start = stretch.end
        if text[start:]:
            yield ["", text[start:]]

    def _groups(self, text: str) -> Iterator[_Group]:
        """Yield what is special in a text; what has no glyphs stands together, to be copied."""
        for look, chars in groupby(enumerate(text), lambda each: self._kind(each[1])):
            if look:
                places, found = zip(*chars, strict=True)
                runs = [self._special[char] for char in found]
                if look == "m":
                    runs = [["m", "".join(found)], *(["x", number(char)] for char in found)]
                yield _Group(places[0], places[-1] + 1, runs)

    def _kind(self, char: str) -> str:
        return str(self._special[char][0]) if char in self._special else ""

    def _has_special(self, text: str) -> bool:
        odd = set(text) - self._plain
        for char in odd:
            look = self._look(char)
            if look[0]:
                self._special[char] = look
            else:
                self._plain.add(char)
        return any(char in self._special for char in odd)

    def _look(self, char: str) -> Run:
        if char in self._special:
            return self._special[char]
        if char in self._plain:
            return ["", char]
        category = unicodedata.category(char)
        if category in {"Cc", "Cf", "Cs"}:
            return ["x", number(char)]
        family = next((name for name in families() if ord(char) in characters(name)), None)
        if family is None or category in {"Co", "Cn"}:
            self.has_missing = True
            return ["m", char]
        # A font that lacks the character but has its parts would set those, and double the text.
        if family != BODY and _has_parts_in_body(char):
            return ["f", char, family]
        return ["", char]


_HIDDEN_IN_CODE: Final = _SHAPING - {"\n", "\u00a0", "\u200c", "\u200d", "\ufe0e", "\ufe0f"}


def normal(text: str) -> str:
    """Return the text with one kind of newline, no tabs and no storms of marks."""
    plain = _NEWLINES.sub("\n", text).replace("\t", TAB)
    return plain if plain.isascii() else _MARK_STORM.sub("\\1\u25cc", plain)


def number(char: str) -> str:
    """Return a character's number, as Unicode writes it."""
    return f"U+{ord(char):04X}"


def direction(text: str) -> str:
    """Return where the text begins: `ltr` or `rtl`, as its first letter says."""
    if text.isascii():
        return "ltr"
    kinds = (_STRONG.get(unicodedata.bidirectional(char)) for char in text)
    return next((kind for kind in kinds if kind), "ltr")


def han_variant(text: str) -> str | None:
    """Return whose forms the text's Chinese characters take: jp, kr, tc or sc; None without any."""
    if text.isascii():
        return None
    if _KANA.search(text):
        return "jp"
    if _HANGUL.search(text):
        return "kr"
    if not _HAN_TEXT.search(text):
        return None
    traditional, simplified = len(_TRADITIONAL.findall(text)), len(_SIMPLIFIED.findall(text))
    return "tc" if traditional > simplified else "sc"


def is_joined(char: str) -> bool:
    """Say whether a line can't break in front of this character."""
    return unicodedata.category(char).startswith("M") or char in "\u200d\ufe0e\ufe0f"


def first_words(text: str, most: int = 64) -> str:
    """Return how the text begins, on one line, for a list of contents."""
    visible = "".join(
        char if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"} else " "
        for char in text[: 8 * most]
    )
    words = " ".join(visible.split())
    return words if len(words) <= most else f"{words[:most].rsplit(' ', 1)[0]}…"


def _breakable(text: str) -> Iterator[str]:
    """Yield the text in pieces; an empty one is a place where a word too long may break."""
    start = 0
    for word in _LONG_WORD.finditer(text):
        for piece in _PIECE.finditer(word[0]):
            place = word.start() + piece.end()
            if place < len(text) and not _are_joined(text[place - 1], text[place]):
                yield text[start:place]
                yield ""
                start = place
    if start < len(text):
        yield text[start:]


def _stretches(text: str) -> Iterator[re.Match[str]]:
    return _SCRIPT.finditer(text) if _ANY_SCRIPT.search(text) else iter(())


def _are_joined(before: str, char: str) -> bool:
    return is_joined(char) or unicodedata.combining(before) == _VIRAMA


def _styled(run: Run, style: str) -> Run:
    return [style + run[0], *run[1:]]


def _has_parts_in_body(char: str) -> bool:
    parts = unicodedata.normalize("NFD", char)
    return len(parts) > 1 and all(ord(part) in characters(BODY) for part in parts)
