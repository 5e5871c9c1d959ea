"""From a file's bytes to drafts: which format it is, and everything in it, or an error."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from shared.encoding.canonical import canonical
from shared.encoding.exact import MAX_PLAIN_DIGITS, ExactNumber
from shared.encoding.storable import escape_unstorable
from shared.errors import InvalidImportError
from shared.exports.json_document import FORMAT
from shared.imports.formats.chatgpt import read_chatgpt
from shared.imports.formats.claude import read_claude
from shared.imports.formats.messages import read_plain
from shared.imports.formats.ours import read_ours
from shared.imports.parsed import MAX_ID_CHARS, ImportFile, ParsedConversation, set_times
from shared.imports.zip_files import files_in
from shared.models.transfers import PlainConversation, PlainMessage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

MAX_CONVERSATIONS = 50_000
MAX_MESSAGES = 500_000
MAX_DEPTH = 128  # of metadata: what the database takes
MAX_DIGITS = 16_000  # before or behind the point: within what jsonb holds
PLAIN_LIST = TypeAdapter(list[PlainMessage])


def read_file(
    content: bytes, *, is_zip: bool, limit: int, now: datetime, user_id: UUID, key: str | None
) -> ImportFile:
    """Read all that a file holds.

    Raises InvalidImportError or ChecksumMismatchError with one sentence that says what is wrong.
    """
    try:
        files = files_in(content, limit=limit) if is_zip else iter([content])
        documents = [_parse(file) for file in files]
        together = documents[0] if len(documents) == 1 else list(chain(*map(_listed, documents)))
        read = _read_documents(together, now, user_id=user_id, key=key)
        for draft in read.conversations:
            _make_ready(draft, now)
    except RecursionError:
        raise InvalidImportError("The file is nested too deep.") from None
    _require_bounds(read)
    return read


def _parse(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_number,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise InvalidImportError("The file is not UTF-8.") from None
    except json.JSONDecodeError as exc:
        raise InvalidImportError(
            f"The file is not valid JSON at character {exc.pos}: it may have been cut off."
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidImportError("A JSON object in the file names a key twice.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidImportError(f"{name} is not a JSON number.")


def _integer(text: str) -> int | ExactNumber:
    return int(text) if len(text) <= MAX_PLAIN_DIGITS else _number(text)


def _number(text: str) -> ExactNumber:
    exponent = text.lower().partition("e")[2]
    if len(text) > MAX_DIGITS or len(exponent) > 6 or abs(Decimal(text).adjusted()) > MAX_DIGITS:
        raise InvalidImportError("A number in the file is too large.")
    return ExactNumber(text)


def _listed(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]


def _read_documents(document: Any, now: datetime, *, user_id: UUID, key: str | None) -> ImportFile:
    items = _listed(document)
    if not items:
        raise InvalidImportError("There is no conversation in the file.")
    if _all(items, "mapping"):
        drafts = [read_chatgpt(one, now, _source_id(one, "conversation_id", "id")) for one in items]
        return ImportFile("chatgpt", drafts)
    if _all(items, "chat_messages"):
        return ImportFile("claude", [read_claude(o, now, _source_id(o, "uuid")) for o in items])
    if all(isinstance(one, dict) and one.get("format") == FORMAT for one in items):
        return ImportFile(
            "message-persistence", [read_ours(o, now, user_id=user_id) for o in items]
        )
    plain = _plain_conversation(document)
    return ImportFile("list", [read_plain(plain, now, key=key)])


def _all(items: list[Any], name: str) -> bool:
    return all(isinstance(item, dict) and name in item for item in items)


def _plain_conversation(document: Any) -> PlainConversation:
    """Read the document as a list of messages, strictly."""
    try:
        if isinstance(document, dict):
            return PlainConversation.model_validate(document)
        return PlainConversation(messages=PLAIN_LIST.validate_python(document))
    except ValidationError as exc:
        problems = [
            {"field": ".".join(map(str, error["loc"])), "problem": error["msg"]}
            for error in exc.errors(include_input=False, include_context=False)[:20]
        ]
        raise InvalidImportError(
            "The file is none that is known: our own JSON, a list of {role, content}, or the"
            " conversations.json of ChatGPT or Claude.",
            details=problems,
        ) from None


def _source_id(conversation: dict[str, Any], *names: str) -> str:
    """Return the id a conversation has where it is from; without one, a hash of it."""
    for name in names:
        given = conversation.get(name)
        if isinstance(given, str) and 0 < len(given.strip()) <= MAX_ID_CHARS:
            return given
    text = canonical(conversation).encode(errors="surrogatepass")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _make_ready(draft: ParsedConversation, now: datetime) -> None:
    """Make a draft storable. One that is to be stored exactly must be so already."""
    if draft.is_exact:
        _require_storable(draft)
        return
    set_times(draft, now)
    draft.source_id = escape_unstorable(draft.source_id)[0]
    draft.title = escape_unstorable(draft.title)[0][:200]
    for message in draft.messages:
        message.content, is_escaped = escape_unstorable(message.content)
        message.metadata = _each_text(message.metadata, lambda text: escape_unstorable(text)[0])
        if is_escaped:
            message.metadata["escaped"] = True


def _require_storable(draft: ParsedConversation) -> None:
    def refuse_unstorable(text: str) -> str:
        if escape_unstorable(text)[1]:
            raise InvalidImportError("Text in the file holds NUL or half of a surrogate pair.")
        return text

    values: list[Any] = [draft.title, draft.metadata, draft.provenance]
    for message in draft.messages:
        values += [message.content, message.generated_code, message.metadata]
    for value in values:
        _each_text(value, refuse_unstorable)


def _each_text(value: Any, change: Callable[[str], str], depth: int = 1) -> Any:
    """Return a JSON value with every text in it changed, names too."""
    if depth > MAX_DEPTH:
        raise InvalidImportError("The file is nested too deep.")
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _each_text(item, change, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change, depth + 1) for item in value]
    return value


def _require_bounds(read: ImportFile) -> None:
    messages = sum(len(draft.messages) for draft in read.conversations)
    if len(read.conversations) > MAX_CONVERSATIONS or messages > MAX_MESSAGES:
        raise InvalidImportError(
            f"The file holds more than {MAX_CONVERSATIONS} conversations"
            f" or {MAX_MESSAGES} messages."
        )
