"""Our own JSON of a conversation: everything there is, and a checksum that an import verifies.

    {"format": "message-persistence/conversation", "version": 1,
     "source": {...}, "conversation": {...}, "messages": [...], "checksum": {...}}

The checksum is the SHA-256 of these lines, each the canonical JSON (shared/encoding/canonical.py)
of an object and then a newline: first the conversation's `title, metadata, created_at,
archived_at`, and `branches, active_branch` of one with more than one path, then each message's
`seq, role, content, generated_code, metadata, parts, native, is_summary, created_at`. Times are
UTC with microseconds. So it covers what was said, by whom and when, and not the file's white space
or the order of members.

What it doesn't cover is what a copy in another account has of its own: ids, the owner, the
project, turns (each beside the message that opened it), and where an imported conversation is from.
It tells a file that was changed from one that wasn't. It is no signature: whoever writes a file
again can write its checksum too, which is why an import is marked as one.

The checksum comes last, so a file that was cut off has none.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..encoding.canonical import canonical
from .download import in_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models.transfers import ConversationExport, MessageExport
    from .snapshot import Snapshot

FORMAT = "message-persistence/conversation"
VERSION = 1
COVERED_OF_CONVERSATION = ("title", "metadata", "created_at", "archived_at")
COVERED_OF_BRANCHES = ("branches", "active_branch")  # of a conversation that has some
COVERED_OF_MESSAGE = (
    "seq", "role", "content", "generated_code", "metadata", "parts", "native", "is_summary",
    "created_at",
)  # fmt: skip


class Checksum:
    """The checksum over a conversation and its messages, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add_conversation(self, conversation: dict[str, Any]) -> str:
        """Cover a conversation's covered members; return them as the line without its end."""
        names = [*COVERED_OF_CONVERSATION]
        if conversation.get("branches"):
            names += COVERED_OF_BRANCHES
        return self._add({name: conversation[name] for name in names})

    def add_message(self, message: dict[str, Any]) -> str:
        """Cover a message's covered members; return them as the line without its end."""
        return self._add({name: message[name] for name in COVERED_OF_MESSAGE})

    def value(self) -> str:
        """Return it in hexadecimal."""
        return self._hash.hexdigest()

    def _add(self, value: dict[str, Any]) -> str:
        line = canonical(value)
        self._hash.update(f"{line}\n".encode(errors="surrogatepass"))
        return line


def json_document(snapshot: Snapshot) -> AsyncIterator[bytes]:
    """Return the file's bytes: a message a line."""
    return in_chunks(_lines(snapshot))


async def _lines(snapshot: Snapshot) -> AsyncIterator[str]:
    checksum = Checksum()
    conversation = checksum.add_conversation(covered_conversation(snapshot.conversation))
    yield f'{{"format":{canonical(FORMAT)},"version":{VERSION},\n'
    yield f'"source":{canonical(exported_source(snapshot.conversation))},\n'
    yield f'"conversation":{conversation},\n"messages":['
    separator = "\n"
    async for row in snapshot.messages():
        covered = checksum.add_message(covered_message(row))
        yield f"{separator}{covered[:-1]},{canonical(beside_message(row))[1:]}"
        separator = ",\n"
    yield f'\n],\n"checksum":{canonical({"algorithm": "sha256", "value": checksum.value()})}}}\n'


def covered_conversation(row: ConversationExport) -> dict[str, Any]:
    """Return a conversation as the checksum covers it."""
    return {
        "title": row.title,
        "metadata": row.metadata,
        "created_at": in_utc(row.created_at),
        "archived_at": in_utc(row.archived_at),
        "branches": [branch.model_dump() for branch in row.branches],
        "active_branch": row.active_branch,
    }


def exported_source(row: ConversationExport) -> dict[str, Any]:
    """Return where the file is from."""
    return {
        "exportedAt": datetime.now(UTC).isoformat(timespec="microseconds"),
        "conversationId": str(row.id),
        "userId": str(row.user_id),
        "projectId": None if row.project_id is None else str(row.project_id),
        "updatedAt": in_utc(row.updated_at),
        "lastSeq": row.last_seq,
        "imported": row.imported,
    }


def covered_message(row: MessageExport) -> dict[str, Any]:
    """Return a message as the checksum covers it."""
    covered = {name: getattr(row, name) for name in COVERED_OF_MESSAGE}
    return {**covered, "created_at": in_utc(row.created_at)}


def beside_message(row: MessageExport) -> dict[str, Any]:
    """Return what stands in the file beside that: the ids, and the turn that it opened."""
    turn_id = None if row.turn_id is None else str(row.turn_id)
    beside = {"id": str(row.id), "turn_id": turn_id, "branch": row.branch}
    return beside if row.turn is None else {**beside, "turn": row.turn.model_dump()}


def in_utc(moment: str | datetime | None) -> str | None:
    """Return a moment in its one form: UTC, with microseconds."""
    if moment is None:
        return None
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
