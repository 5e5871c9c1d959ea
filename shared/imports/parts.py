"""Writes what was read as parts of a bounded size, in the shape that the store takes."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, Final
from uuid import uuid4

from shared.encoding.canonical import canonical
from shared.errors import ChecksumMismatchError, InvalidImportError
from shared.imports.reading import Rejected
from shared.models.transfers import ReadConversation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from shared.imports.parsed import ParsedConversation, ParsedMessage
    from shared.imports.reading import Read

MAX_CONVERSATIONS: Final = 50_000
MAX_MESSAGES: Final = 500_000
PART_MESSAGES: Final = 1000
PART_CHARS: Final = 1_000_000


def write_parts(
    reads: Iterable[Read], target: IO[bytes], *, by: str, key: str | None
) -> list[ReadConversation]:
    """Write each part as a line; return what became of each conversation.

    `key` is the request's Idempotency-Key, under which each conversation is taken once.

    Raises InvalidImportError or ChecksumMismatchError where there is nothing to take.
    """
    part = _Part(target)
    found: list[ReadConversation] = []
    first_error: InvalidImportError | ChecksumMismatchError | None = None
    for read in reads:
        if isinstance(read, Rejected):
            first_error = first_error or read.error
            found.append(ReadConversation(title=read.title, reason=read.reason))
        else:
            found.append(_write(read, part, by, key))
        _require_bounds(found, part.count)
    if all(one.source is None for one in found):
        raise first_error or InvalidImportError("There is no conversation in the file.")
    part.end()
    return found


def _write(
    conversation: ParsedConversation, part: _Part, by: str, key: str | None
) -> ReadConversation:
    read = ReadConversation(
        source=conversation.source,
        source_id=conversation.source_id,
        original_id=conversation.provenance.get("conversationId"),
        is_list="checksum" in conversation.provenance and not conversation.is_exact,
        title=conversation.title,
        messages=len(conversation.messages),
        left_out=dict(conversation.left_out.most_common(50)),
        kept=dict(conversation.kept.most_common(50)),
    )
    if not conversation.messages and not conversation.is_exact:
        read.reason = "empty"
        return read
    read.id = uuid4()
    part.begin(
        {**_header(str(read.id), conversation, by), "key_hash": _key_hash(key, conversation)}
    )
    for message in conversation.messages:
        part.add(row_of(str(read.id), message))
    return read


def _header(conversation_id: str, conversation: ParsedConversation, by: str) -> dict[str, Any]:
    messages = conversation.messages
    newest = messages[-1].at if messages else conversation.created_at
    return {
        "id": conversation_id,
        "project_id": conversation.project_id and str(conversation.project_id),
        "title": conversation.title,
        "metadata": canonical(conversation.metadata),
        "last_seq": len(messages),
        "created_at": _iso(conversation.created_at),
        "updated_at": _iso(newest),
        "archived_at": _iso(conversation.archived_at),
        "imported": {
            "source": conversation.source,
            "id": conversation.source_id,
            "by": by,
            **conversation.provenance,
        },
    }


def _key_hash(key: str | None, conversation: ParsedConversation) -> str | None:
    known_by = [key, conversation.source, conversation.source_id]
    return None if key is None else sha256(json.dumps(known_by).encode()).hexdigest()


def row_of(conversation_id: str, message: ParsedMessage) -> dict[str, Any]:
    """Return a message as the store takes it."""
    return {
        "conversation_id": conversation_id,
        "role": message.role,
        "content": message.content,
        "generated_code": message.generated_code,
        "metadata": canonical(message.metadata),
        "created_at": _iso(message.at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _require_bounds(found: list[ReadConversation], messages: int) -> None:
    if len(found) > MAX_CONVERSATIONS or messages > MAX_MESSAGES:
        raise InvalidImportError(
            f"The file holds more than {MAX_CONVERSATIONS} conversations"
            f" or {MAX_MESSAGES} messages."
        )


class _Part:
    """What goes to the store in one call; a conversation may go over several."""

    def __init__(self, target: IO[bytes]) -> None:
        self.count = 0
        self._target = target
        self._conversations: list[dict[str, Any]] = []
        self._messages: list[dict[str, Any]] = []
        self._chars = 0

    def begin(self, header: dict[str, Any]) -> None:
        if self._chars >= PART_CHARS:
            self.end()
        self._conversations.append(header)
        self._chars += len(header["metadata"]) + len(header["title"])

    def add(self, row: dict[str, Any]) -> None:
        if len(self._messages) >= PART_MESSAGES or self._chars >= PART_CHARS:
            self.end()
        self._messages.append(row)
        self._chars += len(row["content"]) + len(row["metadata"]) + len(row["generated_code"] or "")
        self.count += 1

    def end(self) -> None:
        if self._conversations or self._messages:
            part = {"conversations": self._conversations, "messages": self._messages}
            self._target.write(json.dumps(part).encode() + b"\n")
        self._conversations, self._messages, self._chars = [], [], 0
