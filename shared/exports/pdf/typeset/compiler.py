"""The one caller of typst: data in, PDF out, with no file and no package within its reach."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typst

from .fonts import HAN, MONO, families, folders

if TYPE_CHECKING:
    from datetime import datetime

_TEMPLATE = Path(__file__).with_name("conversation.typ").read_bytes()


class Typesetter:
    """Sets documents; `created` is the time that stands in them."""

    def __init__(self, created: datetime) -> None:
        self._created = created
        self._fonts = typst.Fonts(
            include_system_fonts=False,
            include_embedded_fonts=False,
            font_paths=[str(folder) for folder in folders()],
        )

    def compile(self, document: dict[str, Any], *, tagged: bool = True) -> bytes:
        """Return the document as PDF; tags say what is a heading, a list, a table, code."""
        data = json.dumps({**document, "fonts": _font_lists()}, ensure_ascii=False)
        with TemporaryDirectory() as empty:
            compiler = typst.Compiler(
                _TEMPLATE,
                root=empty,
                font_paths=self._fonts,
                ignore_system_fonts=True,
                sys_inputs={"document": data},
                package_path=empty,
                package_cache_path=empty,
            )
            pdf = compiler.compile(format="pdf", timestamp=self._created, pdf_tags=tagged)
        if not isinstance(pdf, bytes):
            raise TypeError("typst gave no document")
        return pdf


def _font_lists() -> dict[str, Any]:
    return {
        "body": families(),
        "mono": [MONO, *families()],
        "han": {variant: families(variant) for variant in HAN},
    }
