"""A conversation as Markdown, for people.

Each message is a text under a heading of ours, followed by what it has beside its text.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import TYPE_CHECKING

from .beside import (
    attachments_of,
    author_of,
    calls_of,
    citations_of,
    error_of,
    files_of,
    notices_of,
    reasoning_of,
    source_of,
)
from .contained import contained, fenced
from .download import in_chunks
from .json_document import in_utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..models.rows import ConversationRow
    from ..models.transfers import MessageExport
    from .beside import Attachment, Call, Citation, File
    from .snapshot import Snapshot

SPECIAL = re.compile(r"([\\`*_\[\]<>~&#|$])")  # none of them begins a line
LANGUAGE = re.compile(r"[\w+#.-]{1,30}")
LARGE_CHARS = 100_000  # of a text; two millions may take a second or two
ADDRESS = re.compile(r"https?://[^\s<>\x00-\x1f]+\Z", re.IGNORECASE)


def markdown_document(snapshot: Snapshot) -> AsyncIterator[bytes]:
    """Return the file's bytes."""
    return in_chunks(_parts(snapshot))


async def _parts(snapshot: Snapshot) -> AsyncIterator[str]:
    yield _opening(snapshot.conversation)
    count = 0
    async for message in snapshot.in_reading_order():
        if message.opening:
            yield f"## {message.opening}\n\n"
        texts = (message.content, message.generated_code or "", reasoning_of(message))
        if sum(map(len, texts)) < LARGE_CHARS:
            yield _section(message)
        else:
            yield await asyncio.to_thread(_section, message)
        count += 1
    yield f"## End of the conversation: {count} {'message' if count == 1 else 'messages'}.\n"


def _opening(conversation: ConversationRow) -> str:
    facts = [f"- Began: {_moment(conversation.created_at)}"]
    if conversation.archived_at:
        facts.append(f"- Archived: {_moment(conversation.archived_at)}")
    if source := source_of(conversation):
        at = (conversation.imported or {}).get("at")
        on = f", {_moment(at)}" if at else ""
        facts.append(f"- Imported from {_one_line(source)}{on}")
    facts.append(f"- Conversation: {conversation.id}")
    return f"# {_one_line(conversation.title)}\n\n" + "\n".join(facts) + "\n\n"


def _section(message: MessageExport) -> str:
    return "\n\n".join(_blocks(message)) + "\n\n"


def _blocks(message: MessageExport) -> Iterator[str]:
    author = _one_line(author_of(message))
    yield f"## {message.seq}. {author}, {_moment(message.created_at)}"
    if reasoning := reasoning_of(message):
        yield f"<details>\n<summary>Reasoning</summary>\n\n{contained(reasoning)}\n\n</details>"
    if message.content and message.content != error_of(message.metadata).get("message"):
        yield contained(message.content)
    yield from map(_call, calls_of(message))
    yield from map(_file, files_of(message))
    yield from map(_attachment, attachments_of(message))
    if citations := citations_of(message):
        yield "Sources:\n\n" + "\n".join(map(_citation, citations))
    yield from (f"*{_one_line(notice)}*" for notice in notices_of(message))


def _file(file: File) -> str:
    name = f"File: **{_one_line(file.path)}**" if file.path else "Code:"
    if file.content is None:
        return name
    language = file.language if LANGUAGE.fullmatch(file.language) else ""
    return f"{name}\n\n{fenced(file.content, language)}"


def _attachment(attachment: Attachment) -> str:
    kind = f" ({_one_line(attachment.media_type)})" if attachment.media_type else ""
    name = f"Attached: **{_one_line(attachment.name)}**{kind}"
    return f"{name}\n\n{fenced(attachment.text)}" if attachment.text else name


def _call(call: Call) -> str:
    said = f"{call.given}\n{call.result}".strip()
    return f"Tool: **{_one_line(call.name)}**\n\n{fenced(said)}"


def _citation(citation: Citation) -> str:
    title, url = _one_line(citation.title), citation.url
    if not ADDRESS.match(url):
        return "- " + " ".join(filter(None, (title, _one_line(url))))
    return f"- [{title}](<{url}>)" if title else f"- <{url}>"


def _one_line(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _moment(moment: object) -> str:
    parsed = datetime.fromisoformat(in_utc(str(moment)) or "")
    return f"{parsed:%Y-%m-%d %H:%M:%S} UTC"
