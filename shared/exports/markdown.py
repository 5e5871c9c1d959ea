"""A conversation as Markdown, for people.

Each message is a block quote under a heading. A quote holds whatever is in it: a heading, a fence
or a comment that the text opens and never closes ends with the quote, and can't swallow or forge
what follows. Code of its own is fenced, longer than any fence in it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from shared.exports.download import in_chunks
from shared.exports.json_document import in_utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.exports.snapshot import Snapshot
    from shared.models.rows import ConversationRow
    from shared.models.transfers import MessageExport

LINE_END = re.compile(r"\r\n|\r|\n")  # what Markdown takes for one
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$:])")
LANGUAGE = re.compile(r"[\w+#.-]{1,30}")


def markdown_document(snapshot: Snapshot) -> AsyncIterator[bytes]:
    """Return the file's bytes."""
    return in_chunks(_parts(snapshot))


async def _parts(snapshot: Snapshot) -> AsyncIterator[str]:
    conversation = snapshot.conversation
    imported = conversation.imported or {}
    yield _opening(conversation)
    count = 0
    async for message in snapshot.messages():
        is_imported = message.seq <= int(imported.get("lastSeq", 0))
        yield _message(message, imported.get("source") if is_imported else None)
        count += 1
    yield f"---\n\nEnd of the conversation: {count} {'message' if count == 1 else 'messages'}.\n"


def _opening(conversation: ConversationRow) -> str:
    facts = [f"- Began: {_moment(conversation.created_at)}"]
    if conversation.archived_at:
        facts.append(f"- Archived: {_moment(conversation.archived_at)}")
    if conversation.imported:
        source = _one_line(str(conversation.imported.get("source")))
        facts.append(f"- Imported: {_moment(conversation.imported.get('at'))}, from {source}")
    facts.append(f"- Conversation: {conversation.id}")
    return f"# {_one_line(conversation.title)}\n\n" + "\n".join(facts) + "\n\n"


def _message(message: MessageExport, source: str | None) -> str:
    who = {"user": "User", "assistant": "Assistant", "system": "System"}[message.role]
    note = f" (imported from {_one_line(source)})" if source else ""
    parts = [f"## {message.seq}. {who}{note}, {_moment(message.created_at)}"]
    if message.content:
        parts.append(quoted(message.content))
    if message.generated_code is not None:
        parts.append(fenced(message.generated_code, _language(message)))
    error = message.metadata.get("error")
    if isinstance(error, dict):
        parts.append(f"*Failed: {_one_line(str(error.get('type')))}*")
    return "\n\n".join(parts) + "\n\n"


def quoted(text: str) -> str:
    """Return a text as a block quote, which nothing in it can leave."""
    return "\n".join(f"> {line}" if line else ">" for line in LINE_END.split(text))


def fenced(code: str, language: str = "") -> str:
    """Return code between fences that are longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _language(message: MessageExport) -> str:
    files = message.metadata.get("filesGenerated")
    if isinstance(files, list) and len(files) == 1 and isinstance(files[0], dict):
        language = str(files[0].get("language") or "")
        return language if LANGUAGE.fullmatch(language) else ""
    return ""


def _one_line(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _moment(moment: object) -> str:
    parsed = datetime.fromisoformat(in_utc(str(moment)) or "")
    return f"{parsed:%Y-%m-%d %H:%M:%S} UTC"
