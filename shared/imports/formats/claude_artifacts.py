"""The files that Claude makes: artifacts by a tool's call or in tags, and files that it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..parsed import as_object, as_objects, as_text

if TYPE_CHECKING:
    from ..said import Said

LANGUAGES: Final = {
    "text/html": "html", "text/markdown": "markdown", "image/svg+xml": "svg",
    "application/vnd.ant.react": "jsx", "application/vnd.ant.mermaid": "mermaid",
}  # fmt: skip
ATTRIBUTE: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(slots=True)
class Artifacts:
    """The newest content of each artifact of a conversation, which later calls change."""

    contents: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)  # of the pages that a search found

    def use(self, block: dict[str, Any], said: Said) -> bool:
        """Take a tool's call or result for what it is; return whether nothing is left to keep."""
        if block.get("type") == "tool_result":
            self._note_pages(block, said)
            return block.get("name") == "artifacts"
        given = as_object(block.get("input"))
        if block.get("name") == "artifacts":
            return self._change(given, said)
        path, words = given.get("path"), given.get("file_text", given.get("content"))
        if isinstance(path, str) and isinstance(words, str) and words:
            said.add_file(path.rpartition("/")[2], words)
            return True
        return False

    def _change(self, given: dict[str, Any], said: Said) -> bool:
        key = str(given.get("id"))
        title, content, language = self.contents.get(key, ("", "", ""))
        title = as_text(given.get("title")) or title or key
        kind = str(given.get("type") or "")
        language = LANGUAGES.get(kind) or as_text(given.get("language")) or language
        written, old = as_text(given.get("content")), as_text(given.get("old_str"))
        if written is None and old and old in content:
            written = content.replace(old, str(given.get("new_str") or ""), 1)
        if not written:
            return False
        self.contents[key] = (title, written, language)
        said.add_file(title, written, language=language)
        return True

    def _note_pages(self, block: dict[str, Any], said: Said) -> None:
        for page in as_objects(block.get("content")):
            url, title = page.get("url"), page.get("title")
            if isinstance(url, str) and isinstance(title, str):
                self.titles[url] = title
            if page.get("type") == "image":
                said.say(said.attach("image", page.get("title") or page.get("file_name")))

    def take_tags(self, said: Said) -> None:
        """Take artifacts and thoughts in tags, as old exports have them, out of the words."""

        def words_of(text: str) -> str:
            words = _without(text, "antThinking", lambda _, inner: thoughts.append(inner.strip()))
            return _without(words, "antArtifact", lambda head, inner: self._tag(head, inner, said))

        thoughts: list[str] = []
        said.reword(words_of)
        for thought in reversed(thoughts):
            said.think_first(thought)
        for citation in said.citations:
            if citation["title"] == citation["url"]:
                citation["title"] = self.titles.get(citation["url"], citation["url"])

    def _tag(self, head: str, inner: str, said: Said) -> None:
        found = dict(ATTRIBUTE.findall(head))
        given = {**found, "id": found.get("identifier"), "content": inner.strip("\n")}
        self._change(given, said)


def _without(text: str, tag: str, take: Any) -> str:
    """Return a text without a tag's elements, each given to `take`; what isn't closed stays."""
    kept: list[str] = []
    place = 0
    while (start := text.find(f"<{tag}", place)) >= 0:
        inside = text.find(">", start)
        end = text.find(f"</{tag}>", inside)
        if inside < 0 or end < 0:
            break
        take(text[start:inside], text[inside + 1 : end])
        kept.append(text[place:start].rstrip())
        place = end + len(tag) + 3
    rest = text[place:]
    return "\n\n".join(filter(None, [*kept, rest.lstrip() if kept else rest]))
