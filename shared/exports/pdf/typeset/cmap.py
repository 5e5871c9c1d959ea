"""Which characters a font has: its `cmap` table, read without the font's other tables.

A library that reads them all takes seconds for the Chinese fonts; this takes milliseconds.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_characters(path: Path) -> frozenset[int]:
    """Return the code points that a TrueType or OpenType font has glyphs for."""
    data = path.read_bytes()
    table = _table(data, b"cmap")
    (count,) = struct.unpack_from(">H", table, 2)
    found: set[int] = set()
    for place in range(count):
        (offset,) = struct.unpack_from(">I", table, 4 + 8 * place + 4)
        found.update(_subtable(table[offset:]))
    return frozenset(found)


def _table(data: bytes, name: bytes) -> bytes:
    (count,) = struct.unpack_from(">H", data, 4)
    for place in range(count):
        tag, _, offset, length = struct.unpack_from(">4sIII", data, 12 + 16 * place)
        if tag == name:
            return data[offset : offset + length]
    raise ValueError("the font has no such table")


def _subtable(table: bytes) -> Iterator[int]:
    (kind,) = struct.unpack_from(">H", table)
    if kind == 12:
        yield from _segmented_coverage(table)
    elif kind == 4:
        yield from _segment_mapping(table)


def _segmented_coverage(table: bytes) -> Iterator[int]:
    (count,) = struct.unpack_from(">I", table, 12)
    for place in range(count):
        first, last, _ = struct.unpack_from(">III", table, 16 + 12 * place)
        yield from range(first, last + 1)


def _segment_mapping(table: bytes) -> Iterator[int]:
    (doubled,) = struct.unpack_from(">H", table, 6)
    count = doubled // 2
    ends = struct.unpack_from(f">{count}H", table, 14)
    starts = struct.unpack_from(f">{count}H", table, 16 + doubled)
    deltas = struct.unpack_from(f">{count}H", table, 16 + 2 * doubled)
    ranges_at = 16 + 3 * doubled
    ranges = struct.unpack_from(f">{count}H", table, ranges_at)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        for code in range(start, min(end, 0xFFFE) + 1):
            glyph = code
            if ranges[place]:
                at = ranges_at + 2 * place + ranges[place] + 2 * (code - start)
                (glyph,) = struct.unpack_from(">H", table, at)
                if not glyph:
                    continue
            if (glyph + deltas[place]) & 0xFFFF:
                yield code
