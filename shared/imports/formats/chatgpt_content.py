"""What one message of ChatGPT's says, for each type of content that it has."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import Any, Final

from ..attached import media_kind
from ..parsed import as_object, as_objects, as_text
from ..said import Said, fenced, visible_texts
from ..tools import Result

KNOWN_TYPES: Final = frozenset(
    {
        "text", "multimodal_text", "code", "execution_output", "thoughts", "reasoning_recap",
        "tether_quote", "tether_browsing_display", "tether_browsing_code", "system_error",
        "user_editable_context", "model_editable_context",
    }
)  # fmt: skip
STEP_TYPES: Final = frozenset(
    {"reasoning_recap", "tether_quote", "tether_browsing_display", "tether_browsing_code"}
)
ASIDE: Final = ("url", "title", "domain", "summary", "assets", "name")
CONTEXT_FIELDS: Final = ("user_profile", "user_instructions", "model_set_context")
MARK: Final = re.compile("[ ]?\ue200([^\ue200\ue201]*)\ue201")  # of a citation or an entity
PRIVATE: Final = re.compile("[\ue200-\ue206]")
OLD_MARK: Final = re.compile("【[^【】\n]{1,80}†[^【】\n]{0,200}】")
REFERENCE: Final = re.compile(r"turn\d+\w+")


def read_message(message: dict[str, Any], role: str) -> tuple[Said, bool]:
    """Return what a message says, and whether it is a step on the way to one."""
    given = message.get("content")
    content = {"parts": [given]} if isinstance(given, str) else as_object(given)
    metadata = as_object(message.get("metadata"))
    recipient = str(message.get("recipient") or "all")
    said = Said()
    kind = str(content.get("content_type") or "")
    if recipient.startswith("canmore.") and _add_document(said, content):
        return said, True
    name = as_text(as_object(message.get("author")).get("name"))
    is_step = _add_content(said, kind, content, metadata, recipient=recipient, role=role, name=name)
    for attached in as_objects(metadata.get("attachments")):
        name = attached.get("name")
        media_type = attached.get("mime_type") or attached.get("mimeType")
        said.attach(media_kind(media_type, name), name, media_type)
    _add_links(said, metadata)
    for reference in as_objects(metadata.get("content_references")):
        if reference.get("type") == "file":  # which has no link
            said.cite_document(reference.get("name"))
    return said, is_step


def _add_content(
    said: Said,
    kind: str,
    content: dict[str, Any],
    metadata: dict[str, Any],
    *,
    recipient: str,
    role: str,
    name: str | None,
) -> bool:
    """Add what a content says; return whether it is a step."""
    if kind == "thoughts":
        for thought in as_objects(content.get("thoughts")):
            said.think(
                "\n\n".join(filter(None, map(as_text, map(thought.get, ("summary", "content")))))
            )
        return True
    texts = _texts(said, kind, content, metadata)
    is_code = kind == "execution_output" or (kind == "code" and recipient in {"all", "python"})
    is_answer = metadata.get("is_async_task_result_message") is True
    is_for_tool = recipient not in {"all", "python"}
    is_quiet = kind in STEP_TYPES or is_for_tool or (role == "tool" and not is_answer)
    if is_quiet and not is_code and not said.attachments:
        tool = recipient if is_for_tool else name if role == "tool" else None
        _add_step(said, kind, content, texts, tool=tool, recipient=recipient)
        return True
    for text in texts:
        said.say(fenced(text, str(content.get("language") or "")) if is_code else text)
    if role == "tool" and name and said.attachments:
        said.result(Result(None, name, "\n\n".join(texts), is_error=False))
    if kind == "system_error":
        said.more["type"] = kind
    return is_quiet or recipient != "all"


def _add_step(
    said: Said,
    kind: str,
    content: dict[str, Any],
    texts: list[str],
    *,
    tool: str | None,
    recipient: str,
) -> None:
    """Add the call of a tool, what it answered, or what else was done on the way."""
    if kind == "tether_quote":
        said.cite(content.get("url"), content.get("title"))
    details = {name: content.get(name) for name in ASIDE}
    text = "\n\n".join(texts)
    if text or any(details.values()):
        is_plain = kind in {"text", "multimodal_text"}
        to = None if recipient == "all" else recipient
        step = {"type": "tool" if is_plain else kind, "content": text, "recipient": to, **details}
        kept = {name: value for name, value in step.items() if value is not None}
        if tool and to:
            said.call(tool, text, call_id=None, more={n: v for n, v in details.items() if v})
        elif tool:
            said.result(Result(None, tool, text, is_error=False, step=kept))
        else:
            said.step(**kept)


def _texts(said: Said, kind: str, content: dict[str, Any], metadata: dict[str, Any]) -> list[str]:
    """Return the words of a content; what is no text is named in brackets in its place."""
    parts = content.get("parts")
    if isinstance(parts, list):
        names = {str(one.get("id")): one for one in as_objects(metadata.get("attachments"))}
        return [clean(text) for part in parts if (text := _part(said, part, metadata, names))]
    if kind in {"user_editable_context", "model_editable_context"}:
        return [str(content[name]) for name in CONTEXT_FIELDS if as_text(content.get(name))]
    known = [content.get(name) for name in ("text", "result", "content")]
    words = next((text for text in known if isinstance(text, str)), None)
    if words is not None and (kind in KNOWN_TYPES or len(content) <= 2):
        is_code = kind in {"code", "execution_output"}
        return [words if is_code else clean(words)] if words.strip() else []
    if kind and kind not in KNOWN_TYPES:
        said.unknown.append(kind)
    return visible_texts(content)


def _part(said: Said, part: Any, metadata: dict[str, Any], names: dict[str, dict[str, Any]]) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text, kind = part.get("text"), str(part.get("content_type") or "")
    if isinstance(text, str) and kind in {"", "text", "audio_transcription"}:
        return text
    pointer = part.get("asset_pointer")
    if kind and not kind.endswith("_asset_pointer"):
        said.unknown.append(kind)
        return "\n\n".join(visible_texts(part))
    identifier = pointer.rpartition("/")[2] if isinstance(pointer, str) else ""
    attached = names.get(identifier, {})
    drawn = as_object(as_object(part.get("metadata")).get("dalle")).get("prompt")
    name = attached.get("name") or metadata.get("image_gen_title") or drawn or identifier
    what = kind.removesuffix("_asset_pointer").replace("_", " ") or "attachment"
    return said.attach(what, name, attached.get("mime_type"))


def _add_document(said: Said, content: dict[str, Any]) -> bool:
    """Add a document of the canvas, or a change of one; return whether it could be read."""
    try:
        text = content.get("text") or next(iter(content.get("parts") or []), "")
        document = json.loads(text)
        words = document.get("content")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
    if isinstance(words, str) and words.strip():
        kind = str(document.get("type") or "document")
        language = "markdown" if kind == "document" else kind.rpartition("/")[2]
        said.add_file(document.get("name"), words, language=language)
        return True
    changes = as_objects(document.get("updates"))
    if len(changes) == 1 and changes[0].get("pattern") == ".*":  # all of it
        said.add_file("canvas", str(changes[0].get("replacement")), language="markdown")
    else:
        said.step(type="canvas", content=text)
    return True


def _add_links(said: Said, metadata: dict[str, Any]) -> None:
    references = as_objects(metadata.get("content_references"))
    for reference in references:
        items = (reference.get(name) for name in ("items", "sources", "fallback_items"))
        for item in (reference, *chain.from_iterable(map(as_objects, items))):
            said.cite(item.get("url"), item.get("title") or item.get("attribution"))
            for source in as_objects(item.get("supporting_websites")):
                said.cite(source.get("url"), source.get("title"))
    for citation in as_objects(metadata.get("citations")):
        link = as_object(citation.get("metadata"))
        said.cite(link.get("url"), link.get("title"))
    if not said.citations:
        for group in as_objects(metadata.get("search_result_groups")):
            for entry in as_objects(group.get("entries")):
                said.cite(entry.get("url"), entry.get("title"))


def clean(text: str) -> str:
    """Return a text without the marks of its citations; words within a mark are kept."""
    if "\ue200" in text or "†" in text:
        text = OLD_MARK.sub("", PRIVATE.sub("", MARK.sub(_words, text)))
    return text


def _words(mark: re.Match[str]) -> str:
    kind, *fields = mark[1].split("\ue202")
    words = [_named(field) for field in fields if not REFERENCE.fullmatch(field)]
    if kind == "cite" or not any(words):
        return ""
    return " " * mark[0].startswith(" ") + " ".join(filter(None, words))


def _named(field: str) -> str:
    """Return the name of an entity, which is written as a JSON list of its type and name."""
    if not field.startswith(("[", "{")):
        return field
    try:
        value = json.loads(field)
    except (ValueError, RecursionError):
        return ""
    return str(value[1]) if isinstance(value, list) and len(value) > 1 else ""
