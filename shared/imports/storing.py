"""Makes a conversation storable: text that Postgres takes, times that grow, rows of their size."""

from __future__ import annotations

from collections import defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ..encoding.parts import is_text, is_tool, text_of
from ..encoding.sizes import (
    MAX_GIVEN_METADATA_BYTES,
    MAX_METADATA_BYTES,
    MAX_NATIVE_BYTES,
    MAX_ORIGIN_BYTES,
    MAX_PARTS_BYTES,
    MAX_ROW_BYTES,
    MAX_TEXT_BYTES,
    cut_to_size,
    stored_size,
    text_size,
)
from ..encoding.storable import escape_unstorable, map_texts
from ..errors import InvalidImportError
from .attached import name_of
from .parsed import BY_CONTENT, ParsedMessage, set_times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ..encoding.parts import Part
    from .parsed import ParsedConversation

EMPTY_SIZE: Final = len("{}")
IN_METADATA: Final = frozenset({"text", "reasoning", "source-url", "file"})  # under its own name
ROW_ROOM: Final = 100  # for the quotes of texts
ORIGIN_ROOM: Final = 10_000  # for what each origin has beside its provenance


class RowTooLargeError(InvalidImportError):
    """A message in the file is larger than one may be here."""


def make_ready(conversation: ParsedConversation, now: datetime) -> None:
    """Make a conversation storable. One that is to be stored exactly must be so already.

    Raises InvalidImportError, and RecursionError for metadata that is nested too deep.
    """
    if conversation.is_exact:
        _require_storable(conversation)
        return
    conversation.source_id = _storable(conversation.source_id)
    conversation.title = _storable(conversation.title)[:200]
    metadata = map_texts(conversation.metadata, _storable)
    conversation.metadata = _fitted(metadata, MAX_GIVEN_METADATA_BYTES, conversation)
    _name_by_place(conversation)
    _fit_into_rows(conversation)
    set_times(conversation, now)


def _name_by_place(conversation: ParsedConversation) -> None:
    """Name messages without an id by their place, where the conversation has an id of its own.

    When it has grown, what is new in it is known by that.
    """
    if conversation.source_id.startswith(BY_CONTENT) or "checksum" in conversation.provenance:
        return
    for place, message in enumerate(conversation.messages, 1):
        imported = message.metadata.get("imported")
        if isinstance(imported, dict) and not imported.get("id"):
            imported["id"] = f"#{place}"


def _fit_into_rows(conversation: ParsedConversation) -> None:
    """Make rows of the messages, and say with which of them each branch begins."""
    rows: list[ParsedMessage] = []
    first_seqs: dict[int, int] = {}
    last_seqs: dict[int, int] = {}
    for message in conversation.messages:
        first_seqs.setdefault(message.branch, len(rows) + 1)
        rows += _parts(message, conversation)
        last_seqs[id(message)] = len(rows)
    conversation.branches = [
        {
            "branch": branch,
            "parent": fork.parent,
            "fork_seq": last_seqs[id(fork.after)] if fork.after else 0,
            "first_seq": first_seqs[branch],
        }
        for branch, fork in enumerate(conversation.forks, 1)
    ]
    conversation.messages = rows


def _storable(text: str) -> str:
    return escape_unstorable(text)[0]


def _parts(message: ParsedMessage, conversation: ParsedConversation) -> list[ParsedMessage]:
    """Return a message within the size of a row: as several if its text is longer."""
    message.content, is_escaped = escape_unstorable(message.content)
    message.metadata = map_texts(message.metadata, _storable)
    if message.generated_code is not None:
        message.generated_code, has_escaped_code = escape_unstorable(message.generated_code)
        is_escaped = is_escaped or has_escaped_code
        if text_size(message.generated_code) > MAX_TEXT_BYTES:
            message.generated_code = None
            conversation.left_out["too_large"] += 1
    if is_escaped:
        message.metadata["escaped"] = True
    whole = message.content
    message.content = cut_to_size(whole, MAX_TEXT_BYTES)
    message.parts = _saying(message.content, map_texts(message.parts, _storable))
    message.metadata = _fitted(message.metadata, MAX_METADATA_BYTES, conversation)
    if _is_large(message):
        _put_beside(message)
        message.metadata = _fitted(message.metadata, MAX_METADATA_BYTES, conversation)
    return [message, *_continued(message, whole[len(message.content) :], conversation)]


def _saying(content: str, parts: list[Part]) -> list[Part]:
    """Return the parts with the content for their text, which may have been cut or escaped."""
    if not parts or text_of(parts) == content:
        return parts
    first = next(place for place, part in enumerate(parts) if is_text(part))
    text = {"type": "text", "text": content}
    behind = [part for part in parts[first:] if not is_text(part)]
    return [*parts[:first], text, *behind]


def _put_beside(message: ParsedMessage) -> None:
    """Keep in metadata what the parts of a message say that have no room in its row."""
    kinds: defaultdict[str, list[Part]] = defaultdict(list)
    for part in message.parts:
        kinds["tool" if is_tool(part) else part["type"]].append(part)
    metadata, imported = message.metadata, message.metadata.setdefault("imported", {})
    names = {one["path"] for one in metadata.get("files", [])}
    files = [part for part in kinds["file"] if part.get("filename") not in names]
    found = {
        "reasoning": "\n\n".join(part["text"] for part in kinds["reasoning"]),
        "citations": [{"title": one["title"], "url": one["url"]} for one in kinds["source-url"]],
        "attachments": [{"name": name_of(part), "mediaType": part["mediaType"]} for part in files]
        + metadata.get("attachments", []),
    }
    metadata |= {name: value for name, value in found.items() if value}
    others = [part for kind in kinds if kind not in IN_METADATA for part in kinds[kind]]
    if others:
        imported["steps"] = [*others, *imported.get("steps", [])]
    message.parts = []


def _continued(
    message: ParsedMessage, rest: str, conversation: ParsedConversation
) -> list[ParsedMessage]:
    flags = {"escaped": True} if message.metadata.get("escaped") else {}
    known = message.metadata.get("imported", {})
    parts: list[ParsedMessage] = []
    while rest:
        number = len(parts) + 2
        imported = {
            "source": known.get("source"),
            "id": f"{known.get('id')}#{number}",
            "part": number,
        }
        text = cut_to_size(rest, MAX_TEXT_BYTES)
        rest = rest[len(text) :]
        metadata = _fitted({**flags, "imported": imported}, MAX_METADATA_BYTES, conversation)
        parts.append(ParsedMessage(message.role, text, None, metadata, branch=message.branch))
    return parts


def _fitted(
    metadata: dict[str, Any], room: int, conversation: ParsedConversation
) -> dict[str, Any]:
    """Leave out of metadata what makes it larger than a row may have, largest first."""
    over = stored_size(metadata) - room
    if over <= 0:
        return metadata
    for size, holder, name in sorted(_members(metadata), key=itemgetter(0), reverse=True):
        if over <= 0:
            break
        value = holder[name]
        kept = _kept_items(value, over) if isinstance(value, list) else []
        if kept:
            holder[name] = kept
            over -= stored_size(value) - stored_size(kept)
        else:
            del holder[name]
            over -= size if holder else size - EMPTY_SIZE
        is_list = isinstance(value, list) and value
        conversation.left_out["too_large"] += len(value) - len(kept) if is_list else 1
    return metadata


def _members(metadata: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Yield what may be left out, each with its size and what it stands in."""
    imported = metadata.get("imported")
    for holder in (metadata, imported):
        if isinstance(holder, dict):
            for name, value in holder.items():
                if not (value is imported and isinstance(value, dict)):
                    yield stored_size({name: value}), holder, name


def _kept_items(values: list[Any], over: int) -> list[Any]:
    """Return as many of the first items as make a list so much smaller, or none."""
    for count in range(len(values) - 1, 0, -1):
        over -= stored_size(values[count : count + 1])
        if over <= 0:
            return values[:count]
    return []


def _is_large(message: ParsedMessage) -> bool:
    sizes = [
        (text_size(message.content), MAX_TEXT_BYTES),
        (text_size(message.generated_code or ""), MAX_TEXT_BYTES),
        (stored_size(message.metadata), MAX_METADATA_BYTES),
        (stored_size(message.parts), MAX_PARTS_BYTES),
        (stored_size(message.native), MAX_NATIVE_BYTES),
    ]
    beside = bool(message.parts or message.native)
    together = sum(size for size, _ in sizes) + ROW_ROOM
    return any(size > most for size, most in sizes) or (beside and together > MAX_ROW_BYTES)


def _require_storable(conversation: ParsedConversation) -> None:
    values: list[Any] = [conversation.title, conversation.metadata, conversation.provenance]
    for message in conversation.messages:
        values += [message.content, message.generated_code, message.metadata]
        values += [message.parts, message.native]
        if _is_large(message):
            raise RowTooLargeError
    if (
        stored_size(conversation.metadata) > MAX_GIVEN_METADATA_BYTES
        or stored_size(conversation.provenance) > MAX_ORIGIN_BYTES - ORIGIN_ROOM
    ):
        raise RowTooLargeError
    for value in values:
        map_texts(value, _refuse_unstorable)


def _refuse_unstorable(text: str) -> str:
    if escape_unstorable(text)[1]:
        raise InvalidImportError("Text in the file holds NUL or half of a surrogate pair.")
    return text
