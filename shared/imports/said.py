"""What one message says: words in their place, and what belongs beside them.

docs/imports.md describes the metadata keys that are written here.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..encoding.files import GeneratedFile, fence_around, file_parts, render_files
from ..encoding.parts import SEPARATOR, is_text, is_tool, separates
from .attached import EXTENSIONS, LINKS, MAX_NAME_CHARS, file_part, file_path, name_of
from .tools import call_part, with_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..encoding.parts import Part
    from .tools import Result

SHOWN: Final = ("file", "data-")
# Members of an unknown part that name it rather than say something.
NOT_WORDS: Final = re.compile(
    r".*(type|role|id|uuid|url|uri|pointer|status|language|mime|_at)", re.I
)


@dataclass(slots=True)
class Said:
    """What a message has, in its order; `beside` names each part's place among the texts."""

    texts: list[str] = field(default_factory=list)
    beside: list[tuple[int, Part]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)  # of calls that aren't here
    files: list[GeneratedFile] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # types that nobody knows yet
    more: dict[str, Any] = field(default_factory=dict)
    is_cut: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to keep."""
        return self.is_shown or any((self.beside, self.results, self.steps))

    @property
    def is_shown(self) -> bool:
        """Whether a reader of the conversation saw anything of it."""
        return bool(self.texts or self.files or self.attachments) or any(
            str(part["type"]).startswith(SHOWN) for _, part in self.beside
        )

    @property
    def reasoning(self) -> list[str]:
        """What the AI thought."""
        return [part["text"] for _, part in self.beside if part["type"] == "reasoning"]

    def say(self, text: object) -> None:
        """Add words."""
        if isinstance(text, str) and text.strip():
            self.texts.append(text)

    def think(self, text: object) -> None:
        """Add reasoning."""
        if isinstance(text, str) and text.strip():
            self.add_part({"type": "reasoning", "text": text})

    def think_first(self, text: str) -> None:
        """Put reasoning before all else."""
        if text:
            self.beside.insert(0, (0, {"type": "reasoning", "text": text}))

    def add_part(self, part: Part) -> None:
        """Add a part that is no text, in its place."""
        self.beside.append((len(self.texts), part))

    def call(
        self, name: str, given: Any, *, call_id: str | None, more: dict[str, Any] | None = None
    ) -> None:
        """Add the call of a tool."""
        self.add_part(call_part(name, given, call_id=call_id, more=more or {}))

    def result(self, result: Result) -> None:
        """Add what came of a call, which may stand in what this is added to."""
        if part := result.call_in(part for _, part in self.beside if is_tool(part)):
            result.fill(part)
        else:
            self.results.append(result)

    def reword(self, change: Callable[[str], str]) -> None:
        """Change each text; one that has no words any more is left out."""
        texts: list[str] = []
        beside: list[tuple[int, Part]] = []
        for place, text in enumerate([*self.texts, ""]):
            beside += [(len(texts), part) for at, part in self.beside if at == place]
            if (changed := change(text) if text else "").strip():
                texts.append(changed)
        self.texts, self.beside = texts, beside

    def attach(
        self, kind: str, name: object = None, media_type: object = None, url: object = None
    ) -> str:
        """Add a file; without an address it is named alone. Return what marks its place."""
        known = name[:MAX_NAME_CHARS] if isinstance(name, str) and name.strip() else None
        mark = f"[{kind}: {known}]" if known else f"[{kind}]"
        if part := file_part(kind, known, media_type, url):
            self.add_part(part)
            return mark
        attachment = {"name": known or kind}
        if isinstance(media_type, str) and "/" in media_type:
            attachment["mediaType"] = media_type[:MAX_NAME_CHARS]
        if known is None or attachment not in self.attachments:
            self.attachments.append(attachment)
        return mark

    def add_file(self, title: object, content: str, *, language: str = "") -> None:
        """Add a file that the AI made: an artifact, a document of a canvas."""
        path = file_path(title, language)
        known = (name for name, suffix in EXTENSIONS.items() if path.endswith(suffix))
        language = language or next(known, "text")
        self.files = [file for file in self.files if file.path != path]
        self.files.append(GeneratedFile(path=path, language=language, content=content))

    def cite(self, url: object, title: object = None) -> bool:
        """Add a link; return whether it is one."""
        if not isinstance(url, str) or not url.startswith(LINKS):
            return False
        citation = {"title": title if isinstance(title, str) and title else url, "url": url}
        if all(known["url"] != url for known in self.citations):
            self.citations.append(citation)
        return True

    def cite_document(self, title: object) -> None:
        """Add a source that has no link."""
        if isinstance(title, str) and title.strip():
            media_type = mimetypes.guess_type(title)[0] or "application/octet-stream"
            named = {"mediaType": media_type, "title": title[:MAX_NAME_CHARS]}
            self.add_part({"type": "source-document", "sourceId": title[:MAX_NAME_CHARS], **named})

    def step(self, /, **members: Any) -> None:
        """Add something that was done on the way to a reply."""
        self.steps.append({name: value for name, value in members.items() if value is not None})

    def add(self, other: Said) -> None:
        """Add all that follows."""
        self.beside += [(len(self.texts) + place, part) for place, part in other.beside]
        for name in ("texts", "attachments", "citations", "steps", "unknown"):
            getattr(self, name).extend(getattr(other, name))
        for result in other.results:
            self.result(result)
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
        names += [f"[{name_of(part)}]" for _, part in self.beside if _is_named(part)]
        return "\n\n".join(names) or "[no answer]"

    def generated_code(self) -> str | None:
        """Return the files as the rest of the product stores them."""
        return render_files(self.files)

    def parts(self, of: str) -> list[Part]:
        """Return the parts of the message of this id, whose text is the content; none if all are.

        Sources and data come last: between two texts they would not set them apart.
        """
        parts: list[Part] = []
        for place, text in enumerate(self.texts or [self.content()]):
            parts += self._before(place if self.texts else None)
            if parts and is_text(parts[-1]):
                parts[-1]["text"] += SEPARATOR + text
            else:
                parts.append({"type": "text", "text": text})
        parts += self._before(len(self.texts)) if self.texts else []
        parts += [part for _, part in self.beside if not separates([part])]
        parts += [
            {"type": "source-url", "sourceId": f"source-{number}", **citation}
            for number, citation in enumerate(self.citations, 1)
        ]
        parts += file_parts(self.files)
        with_ids(parts, of)
        return [] if all(map(is_text, parts)) else parts

    def _before(self, place: int | None) -> list[Part]:
        """Return the parts that stand before a text, or all of them."""
        return [part for at, part in self.beside if separates([part]) and place in {at, None}]

    def metadata(self) -> dict[str, Any]:
        """Return what stands beside the words and is no part."""
        beside = {
            "files": [{"path": file.path, "language": file.language} for file in self.files],
            "attachments": self.attachments,
            "truncated": self.is_cut,
            "finishReason": "unknown" if self.is_cut else None,
        }
        return {name: value for name, value in beside.items() if value}

    def all_steps(self) -> list[dict[str, Any]]:
        """Return what was done on the way, with the results of calls that aren't there."""
        return [*self.steps, *(result.step for result in self.results if result.step)]

    def kinds(self) -> Iterator[str]:
        """Yield a word for each part that is kept beside the words."""
        yield from (_kind_of(part) for _, part in self.beside if part["type"] != "step-start")
        yield from ["file"] * len(self.files)
        yield from ["attachment"] * len(self.attachments)
        yield from ["citation"] * len(self.citations)
        yield from (str(step.get("type") or "step")[:60] for step in self.all_steps())
        yield from (f"unknown type {name[:60]}" for name in self.unknown)


def _is_named(part: Part) -> bool:
    return str(part["type"]).startswith(SHOWN)


def _kind_of(part: Part) -> str:
    """Return the report's word for a part."""
    kind = str(part["type"])
    if is_tool(part):
        return "tool"
    words = {"file": "attachment", "source-document": "citation"}
    return words.get(kind, "data" if kind.startswith("data-") else kind)


def fenced(text: str, language: str = "") -> str:
    """Return a text between fences that are longer than any in it."""
    fence = fence_around(text)
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
