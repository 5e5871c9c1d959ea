"""What is mended in a typeset page, so that its text can be copied and searched.

A letter with marks above or below it is drawn as several glyphs, and the typesetter gives each
of them the text of the whole letter: it would be copied twice. Here only the letter keeps it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import Any, Final

import pikepdf

_NESTED: Final = 8  # parentheses in a string that stand for themselves, one in another
_STRING: Final = rb"\((?:[^()\\]|\\.|" * _NESTED + rb"(?!)" + rb")*+\)" * _NESTED
_TEXT_OBJECT: Final = re.compile(rb"\bBT\b((?:[^()E]|E(?!T\b)|" + _STRING + rb")*+)ET\b", re.DOTALL)
_SPAN: Final = re.compile(rb"/Span\s*<<.*?>>\s*BDC(.*)EMC", re.DOTALL)
_FONT: Final = re.compile(rb"/(f\d+)\s")
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|\r\n|.)", re.DOTALL)
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b""}
_MAPPING: Final = re.compile(rb"<([0-9A-F]{4})>(\s*)<([0-9A-F]+)>")
_NO_TEXT: Final = b"BT/Span<</ActualText<FEFF>>>BDC %b EMC ET"

Marks = dict[bytes, set[int]]


def mend(pdf: pikepdf.Pdf) -> None:
    """Mend every page."""
    marks_of_font: dict[tuple[int, int], set[int]] = {}
    for page in pdf.pages:
        marks = _marks(page, marks_of_font)
        if any(marks.values()):
            content = page.Contents.read_bytes()
            page.Contents.write(_TEXT_OBJECT.sub(partial(_mended, marks=marks), content))


def _marks(page: pikepdf.Page, known: dict[tuple[int, int], set[int]]) -> Marks:
    """Return the glyphs of each font on the page that are drawn over another one."""
    found: Marks = {}
    for name, font in page.resources.get("/Font", {}).items():
        if font.objgen not in known:
            known[font.objgen] = _take_marks(font)
        found[name[1:].encode()] = known[font.objgen]
    return found


def _take_marks(font: Any) -> set[int]:
    """Return the font's glyphs without a width, and take the letter's text from them."""
    if "/ToUnicode" not in font or "/DescendantFonts" not in font:
        return set()
    widths = _widths(font.DescendantFonts[0])
    marks = set()

    def without_text(mapping: re.Match[bytes]) -> bytes:
        glyph, gap, code = mapping.groups()
        text = bytes.fromhex(code.decode()).decode("utf-16-be", "replace")
        if widths.get(int(glyph, 16), 0) or _is_invisible(text):
            return mapping[0]
        marks.add(int(glyph, 16))
        return b"<%b>%b<200B>" % (glyph, gap)

    table = _MAPPING.sub(without_text, font.ToUnicode.read_bytes())
    if marks:
        font.ToUnicode.write(table)
    return marks


def _widths(font: Any) -> dict[int, float]:
    """Return the widths that a font lists; its default is none."""
    if float(font.get("/DW", 0)) != 0:
        return dict.fromkeys(range(0x10000), 1.0)
    widths: dict[int, float] = {}
    listed = list(font.get("/W", []))
    while listed:
        first, then = int(listed[0]), listed[1]
        if isinstance(then, pikepdf.Array):
            widths |= {first + place: float(width) for place, width in enumerate(then)}
            listed = listed[2:]
        else:
            widths |= dict.fromkeys(range(first, int(then) + 1), float(listed[2]))
            listed = listed[3:]
    return widths


def _is_invisible(text: str) -> bool:
    return all(unicodedata.category(char) in {"Cf", "Cc", "Zs"} for char in text)


def _mended(found: re.Match[bytes], marks: Marks) -> bytes:
    """Return a piece of text as it was, or without text where it draws nothing but marks."""
    body = _SPAN.sub(rb"\1", found[1])
    font = _FONT.search(body)
    glyphs = _glyphs(body)
    if font is None or not glyphs or not glyphs <= marks.get(font[1], set()):
        return found[0]
    return _NO_TEXT % body


def _glyphs(body: bytes) -> set[int]:
    drawn = b"".join(_ESCAPE.sub(_unescaped, text[1:-1]) for text in _STRINGS.findall(body))
    return {drawn[at] << 8 | drawn[at + 1] for at in range(0, len(drawn) - 1, 2)}


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8) & 255]) if code[:1].isdigit() else _CONTROLS.get(code, code)
