"""Gemini's part of Google Takeout: an entry for each prompt, with its answer as HTML."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

from ..attached import media_kind
from ..nodes import Node
from ..parsed import BY_CONTENT, as_objects, as_text, digest_of
from ..said import Said
from ..tree import chain

if TYPE_CHECKING:
    from ..parsed import Notes, ParsedConversation

BLOCKS: Final = frozenset({"p", "div", "ul", "ol", "pre", "table", "tr", "blockquote", "h1", "h2",
                           "h3", "h4", "h5", "h6", "hr"})  # fmt: skip
TAG: Final = re.compile(r"<[^<>]*>")
PROMPTED: Final = re.compile(r"^(?:Prompted|Said|Asked)\s+")


def is_gemini(entry: dict[str, Any]) -> bool:
    """Say whether an entry is an activity in Gemini."""
    names = [entry.get("header"), *_listed(entry.get("products"))]
    return "title" in entry and any(
        isinstance(name, str) and name.startswith(("Gemini", "Bard")) for name in names
    )


def read_gemini(entry: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return one prompt and its answer: which ones belong together isn't said."""
    at = notes.moment(entry.get("time"))
    prompt, answer = Said(), Said()
    prompt.say(PROMPTED.sub("", str(entry.get("title") or "")))
    for name in _listed(entry.get("attachedFiles")):
        prompt.attach(media_kind(None, name), name)
    for item in as_objects(entry.get("safeHtmlItem")):
        answer.say(_words(as_text(item.get("html")) or "", answer))
    if name := as_text(entry.get("imageFile")):
        answer.say(answer.attach("image", name))
    for link in as_objects(entry.get("subtitles")):
        answer.cite(link.get("url"), link.get("name"))
    said = [("user", prompt), ("assistant", answer)]
    nodes = [Node(f"#{role}", None, "message", role, words, at) for role, words in said if words]
    digest = digest_of([entry.get("time"), entry.get("title"), answer.texts])
    thread = chain(nodes, source="gemini", notes=notes)
    return notes.conversation("gemini", f"{BY_CONTENT}{digest}", None, thread)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(html: str, said: Said) -> str:
    """Return the words of HTML, also of such as Python's parser doesn't take."""
    reader = _Words(said)
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:  # for a declaration that is none
        return unescape(TAG.sub("", html)).strip()
    return reader.text()


class _Words(HTMLParser):
    """The words of HTML as plain text, with its lists, line breaks and links."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line where the tag does."""
        if tag in BLOCKS:
            self._parts.append("\n\n")
        elif tag in {"br", "li"}:
            self._parts.append("\n- " if tag == "li" else "\n")
        elif tag in {"td", "th"}:
            self._parts.append(" ")
        elif tag == "a":
            self._said.cite(dict(attrs).get("href"))
        elif tag == "img":
            name = dict(attrs).get("alt") or dict(attrs).get("src")
            self._parts.append(self._said.attach("image", name))

    def handle_endtag(self, tag: str) -> None:
        """End a line where the tag does."""
        if tag in BLOCKS:
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self._parts.append(data)

    def text(self) -> str:
        """Return what was read."""
        return re.sub(r"\n{3,}", "\n\n", "".join(self._parts)).strip()
