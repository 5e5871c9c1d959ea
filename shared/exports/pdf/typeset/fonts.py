"""The fonts: where they are, in which order they are tried, and which characters they hold.

They come with packages of the extra `pdf`; those that no such package has lie beside this file.
Nothing of the machine's own fonts is used, so a document looks the same wherever it was made.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTFont

BODY: Final = "Noto Sans"
MONO: Final = "Noto Sans Mono"
HAN: Final = {
    "jp": "Noto Sans JP",
    "kr": "Noto Sans KR",
    "sc": "Noto Sans SC",
    "tc": "Noto Sans TC",
}
_WESTERN: Final = "justmytype_western_core"
_RTL: Final = "justmytype_intl_rtl"
_CJK: Final = "justmytype_intl_cjk"
_SEA: Final = "justmytype_intl_sea"
_SOUTH_ASIA: Final = "justmytype_intl_south_asia"
_FOLDERS: Final = {
    BODY: (_WESTERN, "notosans"),
    MONO: (_WESTERN, "notosansmono"),
    "Noto Sans Arabic": (_RTL, "notosansarabic"),
    "Noto Sans Hebrew": (_RTL, "notosanshebrew"),
    "Noto Sans Bengali": (_SOUTH_ASIA, "notosansbengali"),
    "Noto Sans Tamil": (_SOUTH_ASIA, "notosanstamil"),
    "Noto Sans Telugu": (_SOUTH_ASIA, "notosanstelugu"),
    "Noto Sans Thai": (_SEA, "notosansthai"),
    "Noto Sans Lao": (_SEA, "notosanslao"),
    "Noto Sans Khmer": (_SEA, "notosanskhmer"),
    "Noto Sans Myanmar": (_SEA, "notosansmyanmar"),
    "Noto Sans Ethiopic": ("justmytype_intl_africa", "notosansethiopic"),
    HAN["sc"]: (_CJK, "notosanssc"),
    HAN["tc"]: (_CJK, "notosanstc"),
    HAN["jp"]: (_CJK, "notosansjp"),
    HAN["kr"]: (_CJK, "notosanskr"),
    "Noto Sans Symbols 2": (_WESTERN, "notosanssymbols2"),
    "STIX Two Math": (_WESTERN, "stixtwomath"),
}
# With those of the other fonts, every script that Unicode recommends for identifiers: the blocks
# that each is asked for, its spaces included. Devanagari is in the body's font.
SCRIPTS: Final = {
    "Noto Sans Armenian": "\u0530-\u058f\ufb13-\ufb17",
    "Noto Sans Bengali": "\u0980-\u09ff",
    "Noto Sans Ethiopic": "\u1200-\u139f\u2d80-\u2ddf\uab00-\uab2f",
    "Noto Sans Georgian": "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "Noto Sans Gujarati": "\u0a80-\u0aff",
    "Noto Sans Gurmukhi": "\u0a00-\u0a7f",
    "Noto Sans Kannada": "\u0c80-\u0cff",
    "Noto Sans Khmer": "\u1780-\u17ff\u19e0-\u19ff",
    "Noto Sans Lao": "\u0e80-\u0eff",
    "Noto Sans Malayalam": "\u0d00-\u0d7f",
    "Noto Sans Myanmar": "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "Noto Sans Oriya": "\u0b00-\u0b7f",
    "Noto Sans Sinhala": "\u0d80-\u0dff",
    "Noto Sans Tamil": "\u0b80-\u0bff",
    "Noto Sans Telugu": "\u0c00-\u0c7f",
    "Noto Sans Thaana": "\u0780-\u07bf",
    "Noto Sans Thai": "\u0e00-\u0e7f",
    "Noto Serif Tibetan": "\u0f00-\u0fff",
}
EMOJI: Final = "Noto Emoji"
_OWN: Final = Path(__file__).parent / "fonts"
_AFTER_BODY: Final = ("Noto Sans Arabic", "Noto Sans Hebrew")
_LAST: Final = (MONO, EMOJI, "Noto Sans Symbols 2", "STIX Two Math")
# The font of Chinese characters is tried in this order where the text says nothing else.
_HAN_ORDER: Final = ("sc", "tc", "jp", "kr")


def families(han: str | None = None) -> list[str]:
    """Return the families in the order in which they are tried, the given Han variant first."""
    order = sorted(_HAN_ORDER, key=lambda variant: variant != han)
    return [BODY, *_AFTER_BODY, *(HAN[variant] for variant in order), *_LAST, *SCRIPTS]


def folders() -> list[Path]:
    """Return the folders with all fonts."""
    return [*map(_folder, _FOLDERS), _OWN]


@cache
def characters(family: str) -> frozenset[int]:
    """Return the characters that a family has glyphs for."""
    with TTFont(_file(family), lazy=True) as font:  # of a Chinese font all tables take seconds
        tables = [table.cmap for table in font["cmap"].tables if table.isUnicode()]
    return frozenset().union(*tables)


def _file(family: str) -> Path:
    if family not in _FOLDERS:
        return _OWN / f"{family.replace(' ', '')}-Regular.ttf"
    return min(_folder(family).glob("*.ttf"), key=lambda path: "Italic" in path.name)


def _folder(family: str) -> Path:
    package, name = _FOLDERS[family]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / "fonts" / "ofl" / name
