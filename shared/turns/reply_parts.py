"""What a reply has beside its text: its parts and its native form, as far as a row has room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..encoding.files import file_parts
from ..encoding.parts import text_of
from ..encoding.sizes import (
    MAX_NATIVE_BYTES,
    MAX_PARTS_BYTES,
    MAX_ROW_BYTES,
    stored_size,
    text_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ai.protocol import EngineResult
    from ..encoding.parts import Part


def content_of(result: EngineResult, parts: Sequence[Part]) -> str:
    """Return the text of a reply: that of its parts, or why there is none."""
    text = text_of(parts)
    return text if text.strip() else result.message


def parts_of(result: EngineResult, parts: Sequence[Part], *, content: str) -> list[Part]:
    """Return the parts of a reply, its files behind them; none if it is text alone."""
    files = file_parts(result.files)
    if not files:
        return list(parts)
    return [*(parts or [{"type": "text", "text": content}]), *files]


def fitting(
    parts: list[Part],
    native: dict[str, Any] | None,
    *,
    content: str,
    code: str | None,
    metadata: dict[str, Any],
) -> tuple[list[Part], dict[str, Any] | None]:
    """Return the parts and the native form; without either where a row has no room for it."""
    if not parts and native is None:
        return parts, native
    room = MAX_ROW_BYTES - text_size(content) - text_size(code or "") - stored_size(metadata) - 100
    if (size := stored_size(parts)) > min(room, MAX_PARTS_BYTES):
        parts, size = [], 0
    if native is not None and stored_size(native) > min(room - size, MAX_NATIVE_BYTES):
        native = None
    return parts, native
