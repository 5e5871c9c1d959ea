"""Writes what was read as parts of a bounded size, each a line, in the shape that the store takes.

A line holds the pieces of conversations that are taken by one call, and what the report will say of
the conversations that end with it. One that fits in a part is one piece.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, Final

from ..encoding.canonical import canonical
from ..errors import ChecksumMismatchError, InvalidImportError
from ..models.transfers import ReadConversation, ReadFile
from .reading import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .parsed import ParsedConversation, ParsedMessage
    from .reading import Read

MAX_CONVERSATIONS: Final = 50_000
MAX_MESSAGES: Final = 500_000
MAX_REPORT_CHARS: Final = 16 * 1024 * 1024  # which the serving process holds
# What the store takes in well under a second on a quiet machine.
PART_MESSAGES: Final = 1000
PART_CHARS: Final = 1_000_000
PART_CONVERSATIONS: Final = 250
IDENTITY: Final = ("source", "id", "checksum", "conversationId")  # of `imported`


def write_parts(reads: Iterable[Read], target: IO[bytes], *, by: str, key: str | None) -> ReadFile:
    """Write each part as a line; return what they hold in all.

    `key` is the request's Idempotency-Key, under which each conversation is taken once.

    Raises InvalidImportError or ChecksumMismatchError if there is nothing to take.
    """
    writer = _Writer(target, by, key)
    first_error: InvalidImportError | ChecksumMismatchError | None = None
    for read in reads:
        if isinstance(read, Rejected):
            first_error = first_error or read.error
            writer.add_read(ReadConversation(title=read.title, reason=read.reason))
        else:
            writer.add(read)
    if not writer.found.sources:
        raise first_error or InvalidImportError("There is no conversation in the file.")
    writer.end()
    return writer.found


class _Writer:
    """The part that is being filled, and what all of them hold."""

    def __init__(self, target: IO[bytes], by: str, key: str | None) -> None:
        self.found = ReadFile()
        self._target = target
        self._by = by
        self._key = key
        self._conversations = 0
        self._report_chars = 0
        self._begin()

    def _begin(self) -> None:
        self._pieces: list[dict[str, Any]] = []
        self._reads: list[dict[str, Any]] = []
        self._messages = 0
        self._chars = 0

    def add(self, conversation: ParsedConversation) -> None:
        """Write a conversation, whole in one part where it fits in one."""
        self.found.sources = sorted({*self.found.sources, conversation.source})
        read = _read_of(conversation)
        if not conversation.messages and not conversation.is_exact:
            read.reason = "empty"
        else:
            read.place = self._conversations
            self._add_pieces(conversation)
        self.add_read(read)

    def _add_pieces(self, conversation: ParsedConversation) -> None:
        header = _header(conversation, self._by) | {"key_hash": _key_hash(self._key, conversation)}
        rows = _rows_of(conversation)
        chars = len(header["metadata"]) + sum(map(_chars_in, rows))
        if len(self._pieces) >= PART_CONVERSATIONS or not self._has_room(len(rows), chars):
            self.end()
        piece = self._piece(header, 1)
        for seq, row in enumerate(rows, 1):
            if piece["messages"] and not self._has_room(1, _chars_in(row)):
                piece["is_last"] = False
                self.end()
                piece = self._piece(_identity_of(header), seq)
            piece["messages"].append(row)
            self._messages += 1
            self._chars += _chars_in(row)
        self.found.messages += len(rows)

    def _has_room(self, messages: int, chars: int) -> bool:
        return self._messages + messages <= PART_MESSAGES and self._chars + chars <= PART_CHARS

    def _piece(self, header: dict[str, Any], first: int) -> dict[str, Any]:
        piece = {
            "place": self._conversations,
            "first": first,
            "is_last": True,
            "conversation": header,
            "messages": [],
        }
        self._pieces.append(piece)
        self._chars += len(header["metadata"])
        return piece

    def add_read(self, read: ReadConversation) -> None:
        """Note what the report will say of a conversation, with the part that it ends with."""
        self._reads.append(read.model_dump(mode="json", exclude_defaults=True))
        self._conversations += 1
        self._report_chars += len(read.model_dump_json(exclude_defaults=True))
        if self._conversations > MAX_CONVERSATIONS or self.found.messages > MAX_MESSAGES:
            raise InvalidImportError(
                f"The file holds more than {MAX_CONVERSATIONS} conversations"
                f" or {MAX_MESSAGES} messages."
            )
        if self._report_chars > MAX_REPORT_CHARS:
            raise InvalidImportError("The file has more to report than one may. Send it in parts.")
        if len(self._reads) >= PART_MESSAGES:
            self.end()

    def end(self) -> None:
        """Write the part, if anything is in it."""
        if self._pieces or self._reads:
            line = {"pieces": self._pieces, "reads": self._reads, "messages": self._messages}
            self._target.write(json.dumps(line).encode() + b"\n")
            self.found.parts += bool(self._pieces)
        self._begin()


def _read_of(conversation: ParsedConversation) -> ReadConversation:
    return ReadConversation(
        source=conversation.source,
        source_id=conversation.source_id,
        original_id=conversation.provenance.get("conversationId"),
        is_list="checksum" in conversation.provenance and not conversation.is_exact,
        title=conversation.title,
        messages=len(conversation.messages),
        left_out=dict(conversation.left_out.most_common(50)),
        kept=dict(conversation.kept.most_common(50)),
    )


def _header(conversation: ParsedConversation, by: str) -> dict[str, Any]:
    messages = conversation.messages
    newest = messages[-1].at if messages else conversation.created_at
    return {
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
        "branches": conversation.branches,
        "active_branch": conversation.active_branch,
        "leaf": _leaf_of(conversation),
    }


def _leaf_of(conversation: ParsedConversation) -> str | None:
    """Return the id of the message with which the active path ends."""
    branches = conversation.branches[conversation.active_branch :]
    end = branches[0]["first_seq"] - 1 if branches else len(conversation.messages)
    return _id_of(conversation.messages[end - 1]) if end else None


def _identity_of(header: dict[str, Any]) -> dict[str, Any]:
    """Return as much of a header as the pieces after the first need."""
    imported = header["imported"]
    return {
        "metadata": "{}",
        "leaf": header["leaf"],
        "key_hash": header["key_hash"],
        "last_seq": header["last_seq"],
        "updated_at": header["updated_at"],
        "imported": {name: imported[name] for name in IDENTITY if name in imported},
    }


def _key_hash(key: str | None, conversation: ParsedConversation) -> str | None:
    known_by = [key, conversation.source, conversation.source_id]
    return None if key is None else sha256(json.dumps(known_by).encode()).hexdigest()


def _rows_of(conversation: ParsedConversation) -> list[dict[str, Any]]:
    """Return the messages as the store takes them, each with the id of the one that it follows.

    By that a conversation that has grown gets its new messages on the paths that they are on.
    """
    rows = [row_of(message) for message in conversation.messages]
    if not conversation.is_exact:
        ids = ["", *map(_id_of, conversation.messages)]
        forks = {branch["first_seq"]: branch["fork_seq"] for branch in conversation.branches}
        for place, row in enumerate(rows):
            row["after"] = ids[forks.get(place + 1, place)]
    return rows


def _id_of(message: ParsedMessage) -> str | None:
    imported = message.metadata.get("imported")
    return imported.get("id") if isinstance(imported, dict) else None


def row_of(message: ParsedMessage) -> dict[str, Any]:
    """Return a message as the store takes it."""
    return {
        "role": message.role,
        "content": message.content,
        "generated_code": message.generated_code,
        "metadata": canonical(message.metadata),
        **({"parts": canonical(message.parts)} if message.parts else {}),
        **({"native": canonical(message.native)} if message.native else {}),
        "created_at": _iso(message.at),
    }


def _chars_in(row: dict[str, Any]) -> int:
    texts = ("content", "metadata", "generated_code", "parts", "native")
    return sum(len(row.get(name) or "") for name in texts)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
