"""Everything a user has, as one zip that is made while it is sent.

Python's own zipfile writes it: onto a stream that can't seek it puts sizes behind the data, and
needs no more memory than a page of messages and a line for each file. Every conversation is there
as JSON and as Markdown, then a manifest of what should be there: a zip without it was cut off.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.errors import ConversationNotFoundError
from shared.exports.download import Download
from shared.exports.filenames import conversation_name
from shared.exports.json_document import json_document
from shared.exports.markdown import markdown_document
from shared.exports.snapshot import Snapshot, take_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.auth.caller import Caller
    from shared.persistence import Persistence

FORMAT = "message-persistence/account"
VERSION = 1
FIRST_ZIP_MOMENT = datetime(1980, 1, 1, tzinfo=UTC)  # a zip knows none before


async def account_zip(persistence: Persistence, user_id: UUID, *, caller: Caller) -> Download:
    """Return a user's conversations, archived ones too, as a download."""
    now = datetime.now(UTC)
    return await Download.begun(
        _AccountZip(persistence, user_id, caller, now).chunks(),
        media_type="application/zip",
        name=f"conversations-{now:%Y-%m-%d}.zip",
    )


class _AccountZip:
    """The zip, entry by entry, with the manifest that grows beside it."""

    def __init__(
        self, persistence: Persistence, user_id: UUID, caller: Caller, now: datetime
    ) -> None:
        self._persistence = persistence
        self._user_id = user_id
        self._caller = caller
        self._now = now
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._files: list[dict[str, Any]] = []
        self._counts = {"conversations": 0, "archived": 0, "messages": 0, "turns": 0}

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the zip's bytes."""
        async for conversation_id in self._conversation_ids():
            try:
                snapshot = await take_snapshot(
                    self._persistence, self._user_id, conversation_id, caller=self._caller
                )
            except ConversationNotFoundError:
                continue  # deleted since its id was read
            async for chunk in self._conversation(snapshot):
                yield chunk
        async for chunk in self._entry("manifest.json", _only(self._manifest()), self._now):
            yield chunk
        self._zip.close()
        yield self._sink.taken()

    async def _conversation_ids(self) -> AsyncIterator[UUID]:
        after: UUID | None = None
        while page := (
            await self._persistence.export_conversations(
                self._user_id, caller=self._caller, after=after
            )
        ).ids:
            for conversation_id in page:
                yield conversation_id
            after = page[-1]

    async def _conversation(self, snapshot: Snapshot) -> AsyncIterator[bytes]:
        row = snapshot.conversation
        began = datetime.fromisoformat(row.created_at)
        for suffix, document in (("json", json_document), ("md", markdown_document)):
            # The id's end keeps two conversations of one title and day apart.
            name = conversation_name(row, f"{row.id}.{suffix}")
            async for chunk in self._entry(f"conversations/{name}", document(snapshot), began):
                yield chunk
            self._files[-1] |= {"conversationId": str(row.id), "messages": snapshot.tally.messages}
        self._counts["conversations"] += 1
        self._counts["archived"] += row.archived_at is not None
        self._counts["messages"] += snapshot.tally.messages
        self._counts["turns"] += snapshot.tally.turns

    async def _entry(
        self, path: str, data: AsyncIterator[bytes], at: datetime
    ) -> AsyncIterator[bytes]:
        moment = max(at.astimezone(UTC), FIRST_ZIP_MOMENT)
        info = zipfile.ZipInfo(path, moment.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as entry:
            async for chunk in data:
                await asyncio.to_thread(entry.write, chunk)
                digest.update(chunk)
                size += len(chunk)
                if written := self._sink.taken():
                    yield written
        self._files.append({"path": path, "bytes": size, "sha256": digest.hexdigest()})

    def _manifest(self) -> bytes:
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "exportedAt": self._now.isoformat(),
            "userId": str(self._user_id),
            "counts": self._counts,
            "files": self._files,
        }
        return json.dumps(manifest, indent=1, ensure_ascii=False).encode()


class _Sink:
    """Where the zip is written: a stream that can't seek, emptied as it fills."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Take what zipfile writes."""
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: what was written is there."""

    def close(self) -> None:
        """Do nothing: what was written can still be taken."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data
