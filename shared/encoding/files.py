"""Files in a reply: fenced code blocks whose info string names a path.

    ```python path=src/app.py

`python src/app.py` and a bare `src/app.py` are understood too. A block without a path is only
text, and so is one whose path is unsafe or whose closing fence is missing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel

from .sizes import stored_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .parts import Part

MAX_PATH_CHARS: Final = 255
MAX_PARTS_BYTES: Final = 500_000  # of files as parts; all of them are in generated_code
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

_OPENING: Final = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*(.*)")
PATH_ATTRIBUTE: Final = re.compile(
    r"\b(?:path|file|filename|title)=(?:\"([^\"]*)\"|'([^']*)'|(\S+))"
)
_LANGUAGE: Final = re.compile(r"[A-Za-z][\w+#-]*")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|\ud800-\udfff]")


class GeneratedFile(BaseModel):
    """A file that the reply contains; `path` is relative and never leaves its root."""

    path: str
    language: str | None
    content: str


class _Block(NamedTuple):
    info: str
    content: str


def parse_files(markdown: str) -> list[GeneratedFile]:
    """Return the files of a reply, in order; of two with one path the later counts."""
    files: dict[str, GeneratedFile] = {}
    for block in _blocks(markdown):
        language, path = _parse_info(block.info)
        if path is not None and is_safe_path(path):
            files.pop(path, None)
            files[path] = GeneratedFile(path=path, language=language, content=block.content)
    return list(files.values())


def is_safe_path(path: str) -> bool:
    """Say whether this is a plain relative path that stays below its root."""
    if not path or len(path) > MAX_PATH_CHARS or _FORBIDDEN.search(path):
        return False
    return all(part not in {"", ".", ".."} for part in path.split("/"))


def _blocks(markdown: str) -> Iterator[_Block]:
    """Yield the closed fenced blocks at the top level of the text."""
    fence: str | None = None
    info = ""
    content: list[str] = []
    for line in markdown.split("\n"):
        if fence is None:
            if (opening := _opening(line)) is not None:
                fence, info = opening
                content = []
        elif _closes(line, fence):
            yield _Block(info, "".join(content))
            fence = None
        else:
            content.append(f"{line}\n")


def _opening(line: str) -> tuple[str, str] | None:
    match = _OPENING.match(line.rstrip())
    if match is None:
        return None
    fence, info = match.groups()
    if fence[0] == "`" and "`" in info:
        return None
    return fence, info


def _closes(line: str, fence: str) -> bool:
    mark = line.strip()
    indent = len(line) - len(line.lstrip(" "))
    return indent <= 3 and len(mark) >= len(fence) and not mark.strip(fence[0])


def _parse_info(info: str) -> tuple[str | None, str | None]:
    """Return the language and the path of an info string, each where there is one."""
    words = info.split()
    language = words[0] if words and _LANGUAGE.fullmatch(words[0]) else None
    if (attribute := PATH_ATTRIBUTE.search(info)) is not None:
        return language, next(group for group in attribute.groups() if group is not None)
    candidates = words[1:2] if language is not None else words[:1]
    path = next((word for word in candidates if _looks_like_path(word)), None)
    return language, path


def _looks_like_path(word: str) -> bool:
    return "=" not in word and "{" not in word and ("." in word or "/" in word)


def render_files(files: list[GeneratedFile]) -> str | None:
    """Return generated files as one text: a single file as it is, several as fenced blocks.

    Each block opens with its language and `path=...`, behind a fence that is longer than any in
    the files themselves.
    """
    if not files:
        return None
    if len(files) == 1:
        return files[0].content
    fence = fence_around(*(file.content for file in files))
    blocks = [f"{fence}{f.language or 'text'} path={f.path}\n{f.content}\n{fence}" for f in files]
    return "\n\n".join(blocks)


def fence_around(*texts: str) -> str:
    """Return a fence that is longer than any in these texts."""
    runs = (len(run) for text in texts for run in re.findall("`+", text))
    return "`" * max(3, max(runs, default=0) + 1)


def file_parts(files: list[GeneratedFile]) -> list[Part]:
    """Return generated files as parts of a message; none if all of them are too large for that."""
    parts = [_part_of(file) for file in files]
    return parts if stored_size(parts) <= MAX_PARTS_BYTES else []


def _part_of(file: GeneratedFile) -> Part:
    """Return a generated file as a part, its content in its address."""
    media_type = MEDIA_TYPES.get(file.path.rpartition(".")[2].lower(), "text/plain")
    data = b64encode(file.content.encode(errors="backslashreplace")).decode()
    return {
        "type": "file",
        "mediaType": media_type,
        "filename": file.path,
        "url": f"data:{media_type};charset=utf-8;base64,{data}",
    }
