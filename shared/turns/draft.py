"""The draft of a turn: its text so far, and its parts where it is more than text.

A text part of a draft has no text of its own: it is the draft's from the part's offset on, up to
that of the next part. Offsets and lengths count characters (code points).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

from ..encoding.parts import SEPARATOR, identity_of, is_text, separates
from ..models.turns import DraftPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..encoding.parts import Part


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text of the draft that begins at this offset."""

    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class PartChange:
    """A part that is new, or takes the place of the one with its index."""

    index: int
    offset: int
    part: Part


@dataclass(frozen=True, slots=True)
class PartPiece:
    """Text that a reasoning part has more, from this offset in it on."""

    index: int
    offset: int
    text: str


Change: TypeAlias = TextPiece | PartChange | PartPiece
MarkT = TypeVar("MarkT")
Mark: TypeAlias = tuple[int, PartChange | PartPiece]  # where in the text a change belongs


@dataclass(slots=True)
class _Placed:
    """A part of the draft, and what its text has grown by: at which version, from which offset."""

    index: int
    offset: int
    version: int
    given: Part
    pieces: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def part(self) -> Part:
        """The part as it is by now."""
        if not self.pieces:
            return self.given
        return {**self.given, "text": "".join(text for _, _, text in self.pieces)}

    def grow(self, text: str, version: int) -> None:
        """Add to the text of reasoning."""
        offset = 0
        if self.pieces:
            _, start, last = self.pieces[-1]
            offset = start + len(last)
        self.pieces.append((version, offset, text))
        self.version = version

    def change_since(self, version: int) -> PartChange | PartPiece:
        """Return what a reader who has seen the draft at a version lacks of this part."""
        new = [piece for piece in self.pieces if piece[0] > version]
        if new != self.pieces:
            return PartPiece(self.index, new[0][1], "".join(text for _, _, text in new))
        return PartChange(self.index, self.offset, self.part)


class Draft:
    """What was written so far: text in pieces, and parts by their places in it."""

    def __init__(self) -> None:
        self.length = 0
        self.size = 0  # of the text, in bytes
        self.version = 0  # grows with each change of a part
        self._pieces: list[str] = []
        self._parts: list[_Placed] = []
        self._known: dict[tuple[str, str], _Placed] = {}

    @classmethod
    def stored(cls, entries: Iterable[DraftPart], *, text: str = "", before: int = 0) -> Self:
        """Return a draft as the store has it, to go on with; `before` its text is left out."""
        draft = cls()
        draft.length = before
        if text:
            draft._append(text)
        for entry in entries:
            placed = _Placed(entry.index, entry.offset, entry.version, entry.part)
            draft._parts.append(placed)
            draft.version = max(draft.version, entry.version)
            if identity := identity_of(entry.part):
                draft._known[identity] = placed
        return draft

    @property
    def begun_at(self) -> int:
        """Where in the text its last part begins."""
        return self._parts[-1].offset if self._parts else 0

    @property
    def has_parts(self) -> bool:
        """Whether it is more than text."""
        return bool(self._parts)

    @property
    def text(self) -> str:
        """The text of it all."""
        return "".join(self._pieces)

    def write(self, text: str) -> None:
        """Add to the text, after another part as a part of its own."""
        if self._parts and not is_text(self._parts[-1].given):
            self._begin_text({"type": "text"})
        self._append(text)

    def reason(self, text: str) -> None:
        """Add to the reasoning, which is a new part after any other."""
        last = self._parts[-1] if self._parts else None
        if last is None or last.given.get("type") != "reasoning":
            last = self._place({"type": "reasoning", "text": ""})
        self.version += 1
        last.grow(text, self.version)

    def add(self, part: Part) -> None:
        """Add a part, in the place of the one that it is a later state of."""
        if is_text(part):
            self._begin_text({key: value for key, value in part.items() if key != "text"})
            self._append(part["text"])
            return
        identity = identity_of(part)
        known = self._known.get(identity) if identity else None
        if known is None:
            known = self._place(part)
            if identity:
                self._known[identity] = known
            return
        self.version += 1
        known.given, known.version, known.pieces = part, self.version, []

    def parts(self) -> list[Part]:
        """Return the parts as those of a message; none if it is text alone."""
        return parts_of_draft(self.text, self.entries_since(0))

    def entries_since(self, version: int) -> list[DraftPart]:
        """Return the parts that have changed since a version, as the store takes them."""
        return [
            DraftPart(index=part.index, offset=part.offset, version=part.version, part=part.part)
            for part in self._parts
            if part.version > version
        ]

    def changes_since(self, offset: int, version: int) -> list[Change]:
        """Return the text from an offset on and what of the parts has changed, in order."""
        text = self.text_from(offset)
        return list(in_order(self.marks_since(version), offset=offset, text=text))

    def marks_since(self, version: int) -> list[Mark]:
        """Return what of the parts has changed since a version, and where in the text."""
        if version == self.version:
            return []
        places = _places([(part.offset, part.given) for part in self._parts])
        return [
            (place, part.change_since(version))
            for part, place in zip(self._parts, places, strict=True)
            if part.version > version
        ]

    def text_from(self, offset: int) -> str:
        """Return the text from an offset on, reading only the pieces that reach past it."""
        start = self.length
        tail: list[str] = []
        for piece in reversed(self._pieces):
            if start <= offset:
                break
            start -= len(piece)
            tail.append(piece)
        text = "".join(reversed(tail))
        return text[max(offset - start, 0) :]

    def _append(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)
        self.size += len(text.encode(errors="surrogatepass"))

    def _begin_text(self, part: Part) -> None:
        if self.length and separates(self._behind_text()):
            self._append(SEPARATOR)
        self._place(part)

    def _behind_text(self) -> Iterator[Part]:
        for placed in reversed(self._parts):
            if is_text(placed.given):
                return
            yield placed.given

    def _place(self, part: Part) -> _Placed:
        if not self._parts and self.length:
            self._put({"type": "text"}, offset=0)
        return self._put(part, offset=self.length)

    def _put(self, part: Part, *, offset: int) -> _Placed:
        self.version += 1
        placed = _Placed(len(self._parts), offset, self.version, part)
        self._parts.append(placed)
        return placed


def parts_of_draft(text: str, entries: Sequence[DraftPart]) -> list[Part]:
    """Return the parts of a draft as those of a message: each text part with its text."""
    ends = [*(entry.offset for entry in entries[1:]), len(text)]
    return [
        {**entry.part, "text": text[entry.offset : end]} if is_text(entry.part) else entry.part
        for entry, end in zip(entries, ends, strict=False)
    ]


def merged(stored: Iterable[DraftPart], changed: Iterable[DraftPart]) -> list[DraftPart]:
    """Return the parts of a draft, the newest version of each."""
    newest: dict[int, DraftPart] = {}
    for entry in (*stored, *changed):
        known = newest.get(entry.index)
        if known is None or known.version < entry.version:
            newest[entry.index] = entry
    return [newest[index] for index in sorted(newest)]


def marks_of(entries: Sequence[DraftPart], version: int) -> list[Mark]:
    """Return which stored parts are newer than a version, and where in the text they belong."""
    places = _places([(entry.offset, entry.part) for entry in entries])
    return [
        (place, PartChange(entry.index, entry.offset, entry.part))
        for entry, place in zip(entries, places, strict=True)
        if entry.version > version
    ]


def _places(parts: Iterable[tuple[int, Part]]) -> Iterator[int]:
    """Yield where in the text each part comes: a text before what sets it apart from the last."""
    before = 0
    is_behind_text = True
    for offset, part in parts:
        yield offset if is_behind_text else before
        before, is_behind_text = offset, is_text(part)


def in_order(
    marks: Iterable[tuple[int, MarkT]], *, offset: int, text: str
) -> Iterator[MarkT | TextPiece]:
    """Yield what belongs to places in a text, and the text from an offset on, in order."""
    start = offset
    for place, change in marks:
        if place > start:
            yield TextPiece(start, text[start - offset : place - offset])
            start = place
        yield change
    if len(text) > start - offset:
        yield TextPiece(start, text[start - offset :])
