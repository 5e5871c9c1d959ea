"""What one message says: words in their place, and what belongs beside them.

docs/imports.md describes the metadata keys that are written here.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..encoding.files import GeneratedFile, render_files

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAME_CHARS: Final = 200
# Members of an unknown part that name it rather than say something.
NOT_WORDS: Final = re.compile(
    r".*(type|role|id|uuid|url|uri|pointer|status|language|mime|_at)", re.I
)
UNSAFE_IN_PATH: Final = re.compile(r"[^\w.()-]+")


@dataclass(slots=True)
class Said:
    """The parts of a message, in the order they came."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    files: list[GeneratedFile] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # types that nobody knows yet
    more: dict[str, Any] = field(default_factory=dict)
    is_cut: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to keep."""
        return any((self.texts, self.reasoning, self.files, self.attachments, self.steps))

    @property
    def is_shown(self) -> bool:
        """Whether a reader of the conversation saw anything of it."""
        return bool(self.texts or self.files or self.attachments)

    def say(self, text: object) -> None:
        """Add words."""
        if isinstance(text, str) and text.strip():
            self.texts.append(text)

    def think(self, text: object) -> None:
        """Add reasoning."""
        if isinstance(text, str) and text.strip():
            self.reasoning.append(text)

    def attach(self, kind: str, name: object = None, media_type: object = None) -> str:
        """Add something that is named and not kept; return how its place in the text is marked."""
        known = name[:MAX_NAME_CHARS] if isinstance(name, str) and name.strip() else None
        attachment = {"name": known or kind}
        if isinstance(media_type, str) and "/" in media_type:
            attachment["mediaType"] = media_type[:MAX_NAME_CHARS]
        if known is None or attachment not in self.attachments:
            self.attachments.append(attachment)
        return f"[{kind}: {known}]" if known else f"[{kind}]"

    def add_file(self, title: object, content: str, *, language: str = "") -> None:
        """Add a file that the AI made: an artifact, a document of a canvas."""
        path = file_path(title, language)
        known = (name for name, suffix in EXTENSIONS.items() if path.endswith(suffix))
        language = language or next(known, "text")
        self.files = [file for file in self.files if file.path != path]
        self.files.append(GeneratedFile(path=path, language=language, content=content))

    def cite(self, url: object, title: object = None) -> bool:
        """Add a link; return whether it is one."""
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            return False
        citation = {"title": title if isinstance(title, str) and title else url, "url": url}
        if all(known["url"] != url for known in self.citations):
            self.citations.append(citation)
        return True

    def step(self, /, **members: Any) -> None:
        """Add something that was done on the way to a reply."""
        self.steps.append({name: value for name, value in members.items() if value is not None})

    def add(self, other: Said) -> None:
        """Add all that follows."""
        for name in ("texts", "reasoning", "attachments", "citations", "steps", "unknown"):
            getattr(self, name).extend(getattr(other, name))
        replaced = {file.path for file in other.files}
        self.files = [*(file for file in self.files if file.path not in replaced), *other.files]
        self.more |= other.more
        self.is_cut = other.is_cut

    def content(self) -> str:
        """Return the words; where there are none, what there is instead, in brackets."""
        if self.texts:
            return "\n\n".join(self.texts)
        names = [f"[file: {file.path}]" for file in self.files]
        names += [f"[{attachment['name']}]" for attachment in self.attachments]
        return "\n\n".join(names) or "[no answer]"

    def generated_code(self) -> str | None:
        """Return the files as the rest of the product stores them."""
        return render_files(self.files)

    def metadata(self) -> dict[str, Any]:
        """Return what stands beside the words."""
        beside = {
            "reasoning": "\n\n".join(self.reasoning),
            "files": [{"path": file.path, "language": file.language} for file in self.files],
            "attachments": self.attachments,
            "citations": self.citations,
            "truncated": self.is_cut,
            "finishReason": "unknown" if self.is_cut else None,
        }
        return {name: value for name, value in beside.items() if value}

    def kinds(self) -> Iterator[str]:
        """Yield a word for each part that is kept beside the words."""
        yield from ["reasoning"] * len(self.reasoning)
        yield from ["file"] * len(self.files)
        yield from ["attachment"] * len(self.attachments)
        yield from ["citation"] * len(self.citations)
        yield from (str(step.get("type") or "step")[:60] for step in self.steps)
        yield from (f"unknown type {name[:60]}" for name in self.unknown)


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


def fenced(text: str, language: str = "") -> str:
    """Return a text between fences that are longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    known = language if re.fullmatch(r"[\w+#.-]{1,30}", language) and language != "unknown" else ""
    return f"{fence}{known}\n{text.rstrip()}\n{fence}"


def visible_texts(value: Any) -> list[str]:
    """Return every text in a part of an unknown type, in order, without names and addresses."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and item.strip():
            found.append(item)
        elif isinstance(item, list):
            waiting.extend(reversed(item))
        elif isinstance(item, dict):
            worded = [part for name, part in item.items() if not NOT_WORDS.fullmatch(name)]
            waiting.extend(reversed(worded))
    return found


def media_kind(media_type: object, name: object = None) -> str:
    """Return a word for what an attachment is."""
    given = media_type if isinstance(media_type, str) else ""
    guessed = given or (mimetypes.guess_type(name)[0] if isinstance(name, str) else None) or ""
    kind = guessed.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"
