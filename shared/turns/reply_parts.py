"""What a reply has beside its text: its parts and its native form, as far as a row has room."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

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
    from ..encoding.files import GeneratedFile
    from ..encoding.parts import Part

MAX_FILES_BYTES: Final = 500_000  # of files as parts; all of them are in generated_code
MEDIA_TYPES: Final = {
    "css": "text/css",
    "csv": "text/csv",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "md": "text/markdown",
    "svg": "image/svg+xml",
    "xml": "application/xml",
}


def content_of(result: EngineResult, parts: Sequence[Part]) -> str:
    """Return the text of a reply: that of its parts, or why there is none."""
    text = text_of(parts)
    return text if text.strip() else result.message


def parts_of(result: EngineResult, parts: Sequence[Part], *, content: str) -> list[Part]:
    """Return the parts of a reply, its files behind them; none if it is text alone."""
    files = [file_part(file) for file in result.files]
    if not files or stored_size(files) > MAX_FILES_BYTES:
        return list(parts)
    return [*(parts or [{"type": "text", "text": content}]), *files]


def file_part(file: GeneratedFile) -> Part:
    """Return a generated file as a part, its content in its address."""
    media_type = MEDIA_TYPES.get(file.path.rpartition(".")[2].lower(), "text/plain")
    data = b64encode(file.content.encode(errors="backslashreplace")).decode()
    return {
        "type": "file",
        "mediaType": media_type,
        "filename": file.path,
        "url": f"data:{media_type};charset=utf-8;base64,{data}",
    }


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
