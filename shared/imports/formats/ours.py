"""Our own JSON, verified: what its checksum covers is stored as it is, and exports the same again.

A system row is stored as a user's, and its place noted beside the conversation (`imported.system`,
`imported.summaries`): an export makes it what it was, while the AI never sees one that a file made.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...errors import ChecksumMismatchError, InvalidImportError
from ...exports.json_document import (
    COVERED_OF_CONVERSATION,
    COVERED_OF_MESSAGE,
    FORMAT,
    VERSION,
    Checksum,
)
from ...models.our_document import OurDocument
from ..parsed import BY_CONTENT, EPOCH, ParsedConversation, ParsedMessage

if TYPE_CHECKING:
    from datetime import datetime

    from ...models.our_document import OurHeader
    from ..parsed import Notes

CLOCKS_MAY_DIFFER = timedelta(days=1)


def is_ours(entry: dict[str, Any]) -> bool:
    """Say whether an entry is a conversation that we exported."""
    return entry.get("format") == FORMAT


def read_ours(document: dict[str, Any], notes: Notes) -> ParsedConversation:
    """Return the document as it is to be stored.

    Raises ChecksumMismatchError for one that was changed, and InvalidImportError for one that no
    export can have made.
    """
    if document.get("version") != VERSION:
        raise InvalidImportError(f"The file's version is not one that is read here: {VERSION}.")
    try:
        ours = OurDocument.model_validate(document)
    except ValidationError as exc:
        raise InvalidImportError(
            "The file is not one of ours.",
            details=[".".join(map(str, error["loc"])) for error in exc.errors()[:20]],
        ) from None
    if checksum_of(document) != ours.checksum.value:
        raise ChecksumMismatchError
    _require_order(ours, notes.now)
    _require_tree(ours.conversation, len(ours.messages))
    return _conversation(ours, is_owner=ours.source.user_id == notes.user_id)


def checksum_of(document: dict[str, Any]) -> str:
    """Return the checksum that a document should have."""
    checksum = Checksum()
    try:
        checksum.add_conversation(document["conversation"])
        for message in document["messages"]:
            checksum.add_message(message)
    except (KeyError, TypeError):
        names = ", ".join((*COVERED_OF_CONVERSATION, *COVERED_OF_MESSAGE))
        raise InvalidImportError(f"The file lacks one of {names}.") from None
    return checksum.value()


def _require_order(ours: OurDocument, now: datetime) -> None:
    if [message.seq for message in ours.messages] != list(range(1, len(ours.messages) + 1)):
        raise InvalidImportError("The seq of the file's messages is not 1, 2, 3 ...")
    moments = [message.created_at for message in ours.messages]
    every = [*moments, ours.conversation.created_at, *filter(None, [ours.conversation.archived_at])]
    if any(moment.tzinfo is None for moment in every):
        raise InvalidImportError("A time in the file has no zone.")
    if any(later <= earlier for earlier, later in pairwise(moments)):
        raise InvalidImportError("The times of the file's messages don't grow with their seq.")
    if not all(EPOCH <= moment <= now + CLOCKS_MAY_DIFFER for moment in every):
        raise InvalidImportError("A time in the file is before 1970 or still to come.")


def _require_tree(header: OurHeader, last_seq: int) -> None:
    starts = [1]
    for number, branch in enumerate(header.branches, 1):
        starts.append(branch.first_seq)
        if not (
            branch.branch == number
            and 0 <= branch.parent < number
            and starts[-2] <= branch.first_seq <= last_seq + 1
            and starts[branch.parent] - 1 <= branch.fork_seq < starts[branch.parent + 1]
            and branch.fork_seq < branch.first_seq
        ):
            raise InvalidImportError("The file's branches are no tree.")
    if not 0 <= header.active_branch <= len(header.branches):
        raise InvalidImportError("The file's active branch is none of its branches.")


def _conversation(ours: OurDocument, *, is_owner: bool) -> ParsedConversation:
    summaries = [message.seq for message in ours.messages if message.is_summary]
    system = [message.seq for message in ours.messages if message.role == "system"]
    provenance = {
        "checksum": ours.checksum.value,
        "conversationId": str(ours.source.conversation_id) if ours.source.conversation_id else None,
        "summaries": summaries,
        "system": system,
        "origin": _origin(ours.source.imported),
    }
    return ParsedConversation(
        source="message-persistence",
        source_id=f"{BY_CONTENT}{ours.checksum.value}",
        title=ours.conversation.title,
        messages=[
            ParsedMessage(
                "assistant" if message.role == "assistant" else "user",
                message.content,
                message.created_at,
                message.metadata,
                message.generated_code,
                message.parts,
                None if message.native is None else message.native.model_dump(),
            )
            for message in ours.messages
        ],
        created_at=ours.conversation.created_at,
        archived_at=ours.conversation.archived_at,
        project_id=ours.source.project_id if is_owner else None,
        metadata=ours.conversation.metadata,
        provenance={name: value for name, value in provenance.items() if value},
        is_exact=True,
        branches=[branch.model_dump() for branch in ours.conversation.branches],
        active_branch=ours.conversation.active_branch,
    )


def _origin(imported: dict[str, Any] | None) -> dict[str, str] | None:
    """Return where the exported conversation said that it was imported from itself."""
    first = (imported or {}).get("origin") or imported
    if not isinstance(first, dict):
        return None
    kept = {name: first.get(name) for name in ("source", "id", "at")}
    return {name: value[:200] for name, value in kept.items() if isinstance(value, str)} or None
