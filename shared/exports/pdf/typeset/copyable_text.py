"""What is mended in a typeset page, so that its text can be copied and searched.

A letter with marks above or below it is drawn as several glyphs, and the typesetter gives each
of them the text of the whole letter: it would be copied twice. Here only the letter keeps it.
Where letters are drawn in another order than they are written, or join into other shapes, a whole
stretch of text is given the text that it was set from, and marks that are drawn apart come last,
where they can't part a word. Places to break in a long word leave no text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import Any, Final, NamedTuple

import pikepdf

from .fonts import SCRIPTS

MOST_GLYPHS: Final = 0x2000  # that a font of a script has
_NESTED: Final = 8  # parentheses in a string that stand for themselves, one in another
_STRING: Final = rb"\((?:[^()\\]|\\.|" * _NESTED + rb"(?!)" + rb")*+\)" * _NESTED
_TEXT_OBJECT: Final = re.compile(
    rb"(?P<before>\bq [^()\n]{1,200}\n)?\bBT\b"
    rb"(?P<body>(?:[^()E]|E(?!T\b)|" + _STRING + rb")*+)ET\b(?P<behind>\nQ\b)?",
    re.DOTALL,
)
_SPAN: Final = re.compile(rb"/Span\s*<<.*?>>\s*BDC(.*)EMC", re.DOTALL)
_FONT: Final = re.compile(rb"/(f\d+)\s")
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|\r\n|.)", re.DOTALL)
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b""}
_MAPPING: Final = re.compile(rb"<([0-9A-F]{4})>(\s*)<([0-9A-F]+)>")
_NO_TEXT: Final = b"BT/Span<</ActualText<FEFF>>>BDC %b EMC ET"

_BREAK: Final = re.compile(rb"(/ActualText<FEFF(?:[0-9A-F]{4})*?)200B>")
_MAPPED_BREAK: Final = re.compile(rb"(<[0-9A-F]{4}>\s*<(?:[0-9A-F]{4})+)200B>")
_TOKEN: Final = re.compile(
    rb"(?P<drawn>" + _STRING + rb")"
    rb"|/Span\s*<<\s*/ActualText\s*(?P<meant><[0-9A-F]*>|" + _STRING + rb")\s*>>\s*BDC"
    rb"|(?P<end>\bEMC\b)",
    re.DOTALL,
)
_SCRIPT_FONTS: Final = tuple(f"+{family.replace(' ', '')}-" for family in SCRIPTS)


class Font(NamedTuple):
    """What is known of a font: glyphs drawn over others; the text of each glyph of a script's."""

    marks: set[int]
    texts: dict[int, str]


Fonts = dict[bytes, Font]


def mend(pdf: pikepdf.Pdf) -> None:
    """Mend every page."""
    known: dict[tuple[int, int], Font] = {}
    for page in pdf.pages:
        fonts = _fonts(page, known)
        content = page.Contents.read_bytes()
        mended = _BREAK.sub(rb"\1>", content)
        if any(font.marks or font.texts for font in fonts.values()):
            marks: list[bytes] = []
            mended = _TEXT_OBJECT.sub(partial(_mended, fonts=fonts, marks=marks), mended)
            mended = b"\n".join([mended, *marks])
        if mended != content:
            page.Contents.write(mended)


def _fonts(page: pikepdf.Page, known: dict[tuple[int, int], Font]) -> Fonts:
    found: Fonts = {}
    for name, font in page.resources.get("/Font", {}).items():
        if font.objgen not in known:
            known[font.objgen] = _read_font(font)
        found[name[1:].encode()] = known[font.objgen]
    return found


def _read_font(font: Any) -> Font:
    if "/ToUnicode" not in font or "/DescendantFonts" not in font:
        return Font(set(), {})
    table = _MAPPED_BREAK.sub(rb"\1>", font.ToUnicode.read_bytes())
    font.ToUnicode.write(table)
    is_of_script = any(name in str(font.BaseFont) for name in _SCRIPT_FONTS)
    texts = {int(code, 16): _decoded(text) for code, _, text in _MAPPING.findall(table)}
    if is_of_script:
        return Font(_take_marks(font) | _unlisted(font), texts)
    return Font(_take_marks(font), {})


def _take_marks(font: Any) -> set[int]:
    """Return the font's glyphs without a width, and take the letter's text from them."""
    found = _marks(font)
    marks = set()

    def without_text(mapping: re.Match[bytes]) -> bytes:
        glyph, gap, code = mapping.groups()
        text = _decoded(code)
        if int(glyph, 16) not in found or _is_invisible(text):
            return mapping[0]
        marks.add(int(glyph, 16))
        return b"<%b>%b<200B>" % (glyph, gap)

    table = _MAPPING.sub(without_text, font.ToUnicode.read_bytes())
    if marks:
        font.ToUnicode.write(table)
    return marks


def _marks(font: Any) -> set[int]:
    """Return the glyphs that have a text and no width: they are drawn over others."""
    widths = _widths(font.DescendantFonts[0])
    glyphs = {int(code, 16) for code, _, _ in _MAPPING.findall(font.ToUnicode.read_bytes())}
    return {glyph for glyph in glyphs if not widths.get(glyph, 0)}


def _unlisted(font: Any) -> set[int]:
    """Return the glyphs that have neither a width nor, perhaps, a text of their own."""
    widths = _widths(font.DescendantFonts[0])
    return {glyph for glyph in range(MOST_GLYPHS) if not widths.get(glyph, 0)}


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


def _mended(found: re.Match[bytes], fonts: Fonts, marks: list[bytes]) -> bytes:
    """Return a piece of text as it was, or with the one text that it stands for.

    Marks of a script are put aside, into `marks`.
    """
    body = _SPAN.sub(rb"\1", found["body"])
    font = fonts.get(named[1]) if (named := _FONT.search(body)) else None
    if font is None:
        return found[0]
    glyphs = _glyphs(body)
    before, behind = found["before"] or b"", found["behind"] or b""
    if glyphs and glyphs <= font.marks:
        silent = before + _NO_TEXT % body + behind
        if not font.texts or not before or not behind:
            return silent
        marks.append(b"/Artifact BMC\n%b\nEMC" % silent)
        return b""
    return before + _as_one(found["body"], font) + behind if font.texts else found[0]


def _as_one(body: bytes, font: Font) -> bytes:
    """Return a piece of text as a single span of what its parts stand for.

    What draws nothing but marks stands for nothing: its letter has the text.
    """
    parts: list[str] = []
    meant: str | None = None

    def read(token: re.Match[bytes]) -> bytes:
        nonlocal meant
        if token["drawn"] is None:
            meant = None if token["end"] else _meant(token["meant"])
            return b" "
        for glyph in _drawn(token[0]):
            if glyph not in font.marks:
                parts.append(font.texts.get(glyph, "") if meant is None else meant)
                meant = None if meant is None else ""
        return token[0]

    plain = _TOKEN.sub(read, body)
    is_rtl = any(unicodedata.bidirectional(char) in {"R", "AL"} for char in "".join(parts))
    text = "".join(reversed(parts) if is_rtl else parts).encode("utf-16-be", "replace")
    return b"BT/Span<</ActualText<FEFF%b>>>BDC %b EMC ET" % (text.hex().upper().encode(), plain)


def _meant(text: bytes) -> str:
    if text[:1] == b"<":
        return _decoded(text[1:-1]).removeprefix("\ufeff")
    return _ESCAPE.sub(_unescaped, text[1:-1]).decode("latin-1")


def _decoded(code: bytes) -> str:
    return bytes.fromhex(code.decode()).decode("utf-16-be", "replace")


def _glyphs(body: bytes) -> set[int]:
    return {glyph for text in _STRINGS.findall(body) for glyph in _drawn(text)}


def _drawn(text: bytes) -> list[int]:
    """Return the glyphs that a string draws."""
    codes = _ESCAPE.sub(_unescaped, text[1:-1])
    return [codes[at] << 8 | codes[at + 1] for at in range(0, len(codes) - 1, 2)]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8) & 255]) if code[:1].isdigit() else _CONTROLS.get(code, code)
