"""The fonts: where they are, in which order they are tried, and which characters they hold.

All of them come with packages of the extra `pdf`, but for the emoji, which lie beside this file.
Nothing of the machine's own fonts is used, so a document looks the same wherever it was made.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from shared.exports.pdf.typeset.cmap import read_characters

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
_FOLDERS: Final = {
    BODY: (_WESTERN, "notosans"),
    MONO: (_WESTERN, "notosansmono"),
    "Noto Sans Arabic": (_RTL, "notosansarabic"),
    "Noto Sans Hebrew": (_RTL, "notosanshebrew"),
    HAN["sc"]: (_CJK, "notosanssc"),
    HAN["tc"]: (_CJK, "notosanstc"),
    HAN["jp"]: (_CJK, "notosansjp"),
    HAN["kr"]: (_CJK, "notosanskr"),
    "Noto Sans Symbols 2": (_WESTERN, "notosanssymbols2"),
    "STIX Two Math": (_WESTERN, "stixtwomath"),
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
    return [BODY, *_AFTER_BODY, *(HAN[variant] for variant in order), *_LAST]


def folders() -> list[Path]:
    """Return the folders with all fonts."""
    return [_folder(family) for family in (*_FOLDERS, EMOJI)]


@cache
def characters(family: str) -> frozenset[int]:
    """Return the characters that a family has glyphs for."""
    path = min(_folder(family).glob("*.ttf"), key=lambda path: "Italic" in path.name)
    return read_characters(path)


def _folder(family: str) -> Path:
    if family == EMOJI:
        return _OWN
    package, name = _FOLDERS[family]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / "fonts" / "ofl" / name
