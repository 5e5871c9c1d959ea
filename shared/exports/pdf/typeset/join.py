"""The parts of a long document as one: pages, footers, outline and what stands in the file."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import pikepdf

from .copyable_text import mend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_KEPT: Final = ("/Title", "/CreationDate", "/ModDate", "/Creator")


def finish(part: bytes, target: Path) -> None:
    """Write a document that was set in one part."""
    with pikepdf.open(BytesIO(part)) as pdf:
        _save(pdf, target)


def join(parts: Sequence[Path], footers: Path, target: Path) -> None:
    """Write a document that was set in several parts, with a footer for each of its pages."""
    with ExitStack() as stack:
        opened = [stack.enter_context(pikepdf.open(part)) for part in parts]
        foot = stack.enter_context(pikepdf.open(footers))
        pdf = stack.enter_context(pikepdf.new())
        outline: list[pikepdf.OutlineItem] = []
        for part in opened:
            outline += _outline(part, first_page=len(pdf.pages))
            pdf.pages.extend(part.pages)
        for page, footer in zip(pdf.pages, foot.pages, strict=True):
            page.add_overlay(footer, None)
        with pdf.open_outline() as contents:
            contents.root.extend(outline)
        _describe(pdf, opened[0])
        _save(pdf, target)


def count_pages(part: Path) -> int:
    """Return how many pages a part has."""
    with pikepdf.open(part) as pdf:
        return len(pdf.pages)


def _outline(part: pikepdf.Pdf, *, first_page: int) -> Iterator[pikepdf.OutlineItem]:
    places = {page.objgen: place for place, page in enumerate(part.pages)}
    with part.open_outline() as contents:
        for item in contents.root:
            page, _, left, top, *_ = _destination(item)
            place = first_page + places[page.objgen]
            yield pikepdf.OutlineItem(item.title, place, "XYZ", left=float(left), top=float(top))


def _destination(item: pikepdf.OutlineItem) -> Any:
    return item.action.D if item.action is not None else item.destination


def _describe(pdf: pikepdf.Pdf, first: pikepdf.Pdf) -> None:
    for name in _KEPT:
        pdf.docinfo[name] = first.docinfo[name]
    pdf.Root.Lang = first.Root.Lang


def _save(pdf: pikepdf.Pdf, target: Path) -> None:
    mend(pdf)
    pdf.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
    pdf.Root.PageMode = pikepdf.Name.UseOutlines
    pdf.save(
        target,
        deterministic_id=True,
        compress_streams=True,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
    )
