"""What a name stands for, and the values that examples have in common."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Word(NamedTuple):
    """What a name stands for."""

    description: str
    example: Any


ID: Final = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
USER: Final = "0b7c5f0e-3f0b-4a52-8d0f-0d3b1f0a9c77"
MOMENT: Final = "2026-11-22T10:00:00Z"
STORED_AT: Final = "2026-11-22T10:00:00.123456+00:00"
ROW: Final[dict[str, Any]] = {"id": ID}
PARTS: Final = [{"type": "file", "mediaType": "image/png", "url": "https://example.com/a.png"}]
FIGURES: Final[dict[str, Any]] = {"turns": 12, "completed": 11, "failed": 1}
