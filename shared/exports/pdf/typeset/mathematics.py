"""Formulas: LaTeX as a picture of outlines, with its source kept for whoever copies it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ziamath.config import config
from ziamath.zmath import Latex

from .fonts import characters

SIZE: Final = 10  # points, as the text around it
MAX_CHARS: Final = 2_000
MAX_FORMULAS: Final = 2_000  # that differ, in one document: each takes 20 ms
MAX_WIDTH: Final = 700  # of what can be made to fit the page and be read
MONO_WIDTH: Final = 0.6  # of a letter that is as high as 1
_FONT: Final = "STIX Two Math"
_VIEW: Final = re.compile(r'viewBox="(\S+) (\S+) (\S+) (\S+)"')

config.svg2 = False  # every glyph where it stands


class Formula(NamedTuple):
    """A formula that is set; lengths are in points, above and below the line.

    The source is to be put behind the picture, unseen, at a size that makes it as wide.
    """

    picture: str
    width: float
    ascent: float
    depth: float
    source: str
    source_size: float


def formula(latex: str, source: str) -> Formula | None:
    """Return LaTeX as a picture; None for what isn't, can't be set whole, or is one too many.

    `source` is the LaTeX between its marks, as it was written.
    """
    return _drawn(latex, source) if _drawn.cache_info().misses < MAX_FORMULAS else None


@lru_cache(maxsize=1000)
def _drawn(latex: str, source: str) -> Formula | None:
    if len(latex) > MAX_CHARS or any(
        ord(char) not in characters(_FONT) for char in latex if not char.isspace()
    ):
        return None
    try:
        drawn = Latex(latex, size=SIZE)
        picture = drawn.svg()
    except Exception:  # noqa: BLE001 - any of many: what was written is shown instead
        return None
    view = _VIEW.search(picture)
    if view is None or "\\" in drawn.mathmlstr():  # a command that it doesn't know
        return None
    _, top, width, height = map(float, view.groups())
    if width > MAX_WIDTH:
        return None
    line = " ".join(source.split())
    return Formula(picture, width, -top, top + height, line, width / (MONO_WIDTH * len(line)))
