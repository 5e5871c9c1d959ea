"""Files of a message: what they are called, and what they are as a part."""

from __future__ import annotations

import mimetypes
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..encoding.parts import Part

MAX_NAME_CHARS: Final = 200
MAX_DATA_CHARS: Final = 1_500_000  # of a file that is in its address
LINKS: Final = ("https://", "http://")
UNSAFE_IN_PATH: Final = re.compile(r"[^\w.()-]+")


def file_part(kind: str, name: str | None, media_type: object, url: object) -> Part | None:
    """Return the part of a file that has an address, or that is in it."""
    if not isinstance(url, str) or len(url) > MAX_DATA_CHARS or "\x00" in url:
        return None
    if not url.startswith((*LINKS, "data:")):
        return None
    given = media_type if isinstance(media_type, str) and "/" in media_type else ""
    known = given or mimetypes.guess_type(name or url)[0] or (f"{kind}/*" if kind != "file" else "")
    if not known:
        return None
    named = {"filename": name} if name and name != url[:MAX_NAME_CHARS] else {}
    return {"type": "file", "mediaType": known[:MAX_NAME_CHARS], "url": url, **named}


def name_of(part: Part) -> str:
    """Return what a part is called that a reader saw."""
    return str(part.get("filename") or part.get("mediaType") or str(part["type"])[len("data-") :])


def media_kind(media_type: object, name: object = None) -> str:
    """Return a word for what an attachment is."""
    given = media_type if isinstance(media_type, str) else ""
    guessed = given or (mimetypes.guess_type(name)[0] if isinstance(name, str) else None) or ""
    kind = guessed.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"


def file_path(title: object, language: str) -> str:
    """Return a plain file name for a title."""
    stem = UNSAFE_IN_PATH.sub("-", title).strip("-.")[:80] if isinstance(title, str) else ""
    stem = stem or "file"
    return stem if re.search(r"\.\w{1,10}$", stem) else stem + EXTENSIONS.get(language, ".txt")


EXTENSIONS: Final = {
    "html": ".html", "markdown": ".md", "python": ".py", "javascript": ".js", "typescript": ".ts",
    "jsx": ".jsx", "tsx": ".tsx", "svg": ".svg", "css": ".css", "json": ".json", "java": ".java",
    "mermaid": ".mmd", "sql": ".sql", "bash": ".sh", "latex": ".tex",
}  # fmt: skip
