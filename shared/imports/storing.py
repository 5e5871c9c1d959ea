"""Makes a conversation storable: text that Postgres takes, times that grow, rows of their size."""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

from shared.encoding.exact import ExactNumber
from shared.encoding.storable import escape_unstorable, map_texts
from shared.errors import InvalidImportError
from shared.imports.parsed import ParsedMessage, set_times

if TYPE_CHECKING:
    from datetime import datetime

    from shared.imports.parsed import ParsedConversation

# What a row may hold: the check constraints of conversations and messages name the same numbers.
MAX_CONTENT_CHARS: Final = 2_000_000
MAX_CODE_CHARS: Final = 2_000_000
MAX_METADATA_BYTES: Final = 1_000_000


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
    conversation.metadata = _fitted(map_texts(conversation.metadata, _storable), conversation)
    conversation.messages = [
        part for message in conversation.messages for part in _parts(message, conversation)
    ]
    set_times(conversation, now)


def _storable(text: str) -> str:
    return escape_unstorable(text)[0]


def _parts(message: ParsedMessage, conversation: ParsedConversation) -> list[ParsedMessage]:
    """Return a message within the size of a row: as several where its text is longer."""
    message.content, is_escaped = escape_unstorable(message.content)
    message.metadata = map_texts(message.metadata, _storable)
    if message.generated_code is not None:
        message.generated_code, has_escaped_code = escape_unstorable(message.generated_code)
        is_escaped = is_escaped or has_escaped_code
        if len(message.generated_code) > MAX_CODE_CHARS:
            message.generated_code = None
            conversation.left_out["too_large"] += 1
    if is_escaped:
        message.metadata["escaped"] = True
    message.metadata = _fitted(message.metadata, conversation)
    rest = message.content[MAX_CONTENT_CHARS:]
    message.content = message.content[:MAX_CONTENT_CHARS]
    return [message, *_continued(message, rest)]


def _continued(message: ParsedMessage, rest: str) -> list[ParsedMessage]:
    flags = {"escaped": True} if message.metadata.get("escaped") else {}
    known = message.metadata.get("imported", {})
    parts: list[ParsedMessage] = []
    for start in range(0, len(rest), MAX_CONTENT_CHARS):
        number = len(parts) + 2
        imported = {
            "source": known.get("source"),
            "id": f"{known.get('id')}#{number}",
            "part": number,
        }
        text = rest[start : start + MAX_CONTENT_CHARS]
        parts.append(ParsedMessage(message.role, text, None, {**flags, "imported": imported}))
    return parts


def _fitted(metadata: dict[str, Any], conversation: ParsedConversation) -> dict[str, Any]:
    """Leave out of metadata what makes it larger than a row may have, largest first."""
    while (size := stored_size(metadata)) > MAX_METADATA_BYTES:
        imported = metadata.get("imported")
        holder = imported if isinstance(imported, dict) and imported else metadata
        holder = max((holder, metadata), key=lambda one: max(map(_own_size, one.items())))
        name, value = max(holder.items(), key=_own_size)
        over = size - MAX_METADATA_BYTES
        if isinstance(value, list) and len(value) > 1:
            kept = _kept_items(value, stored_size(value) - over)
            conversation.left_out["too_large"] += len(value) - len(kept)
            holder[name] = kept
        else:
            del holder[name]
            conversation.left_out["too_large"] += 1
    return metadata


def _own_size(member: tuple[str, Any]) -> int:
    return 0 if member[0] == "imported" else stored_size(member[1])


def _kept_items(values: list[Any], room: int) -> list[Any]:
    """Return the first items that fit, without the last of all."""
    kept = []
    for value in values[:-1]:
        room -= stored_size(value)
        if room < 0:
            break
        kept.append(value)
    return kept


def stored_size(value: Any) -> int:
    """Return how many bytes a value has as Postgres writes jsonb: numbers are written out."""
    size = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            size += len(encode_basestring(item).encode(errors="surrogatepass"))
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
            size += 4 * len(item)
        elif isinstance(item, list):
            waiting += item
            size += 2 * len(item) + 2
        else:
            size += _number_size(item)
    return size


def _number_size(number: Any) -> int:
    text = number.text if isinstance(number, ExactNumber) else str(number)
    exponent = text.lower().partition("e")[2] if isinstance(number, float) else ""
    return len(text) + abs(int(exponent or 0))


def _require_storable(conversation: ParsedConversation) -> None:
    values: list[Any] = [conversation.title, conversation.metadata, conversation.provenance]
    for message in conversation.messages:
        values += [message.content, message.generated_code, message.metadata]
        is_large = (
            len(message.content) > MAX_CONTENT_CHARS
            or len(message.generated_code or "") > MAX_CODE_CHARS
            or stored_size(message.metadata) > MAX_METADATA_BYTES
        )
        if is_large:
            raise RowTooLargeError
    if stored_size(conversation.metadata) > MAX_METADATA_BYTES:
        raise RowTooLargeError
    for value in values:
        map_texts(value, _refuse_unstorable)


def _refuse_unstorable(text: str) -> str:
    if escape_unstorable(text)[1]:
        raise InvalidImportError("Text in the file holds NUL or half of a surrogate pair.")
    return text
