"""What a file holds, as its reader says: for tests that need no process and no store."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.exports.branches import path_to
from shared.imports.parsed import ParsedConversation, ParsedMessage
from shared.imports.reading import FileReader, Rejected
from shared.models.transfers import BranchExport

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATA = Path(__file__).parents[1] / "data" / "imports"


def everything_in(
    content: Any, *, is_zip: bool = False, key: str | None = None
) -> tuple[list[ParsedConversation], list[Rejected]]:
    """Read a file, given as bytes or as a JSON value: what is taken of it and what isn't."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    reader = FileReader(limit=10**7, now=NOW, user_id=uuid4(), key=key)
    taken: list[ParsedConversation] = []
    rejected: list[Rejected] = []
    for read in reader.read(io.BytesIO(data), is_zip=is_zip):
        if isinstance(read, Rejected):
            rejected.append(read)
        else:
            taken.append(read)
    return taken, rejected


def conversations_in(content: Any, *, is_zip: bool = False) -> list[ParsedConversation]:
    """Read a file that is taken whole."""
    taken, rejected = everything_in(content, is_zip=is_zip)
    assert rejected == []
    return taken


def case(name: str) -> bytes:
    """Return a file of tests/data/imports."""
    return (DATA / name).read_bytes()


def path_of(conversation: ParsedConversation) -> list[ParsedMessage]:
    """Return the messages on the active path."""
    branches = [BranchExport.model_validate(one) for one in conversation.branches]
    path = path_to(branches, conversation.active_branch, len(conversation.messages))
    return [conversation.messages[seq - 1] for part in path for seq in part]


def parts_of(message: ParsedMessage, kind: str) -> list[dict[str, Any]]:
    """Return the parts of a type, without it."""
    return [
        {name: value for name, value in part.items() if name != "type"}
        for part in message.parts
        if part["type"] == kind
    ]


def words_of(conversation: ParsedConversation) -> list[tuple[str, str]]:
    """Return who said what on the active path."""
    return [(message.role, message.content) for message in path_of(conversation)]
