"""Everything a user has, as zips that are made while they are sent: one, or several parts.

A part is as large as an import takes it, and done with before a gateway ends it; which
conversations it has is planned before it begins, by their ids. Python's own zipfile writes it: onto
a stream that can't seek it puts sizes behind the data, and needs no more memory than a page of
messages and a line for each file. Every conversation is there as JSON and as Markdown, then a
manifest of what should be there: a zip without it was cut off.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from contextlib import aclosing
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from .download import Download
from .filenames import conversation_name
from .json_document import json_document
from .markdown import markdown_document
from .snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.transfers import ExportPlan
    from ..persistence import Persistence

FORMAT: Final = "message-persistence/account"
VERSION: Final = 1
FIRST_ZIP_MOMENT: Final = datetime(1980, 1, 1, tzinfo=UTC)  # a zip knows none before
LARGEST_PART: Final = 30_000_000
LARGE_CHUNK: Final = 16 * 1024


def part_bytes(most_imported: int) -> int:
    """Return how much text a part may have, so that its zip can be imported here.

    Each text is in it twice, and some texts hardly get smaller.
    """
    return min(LARGEST_PART, most_imported * 45 // 100)


async def account_zip(
    persistence: Persistence,
    user_id: UUID,
    *,
    caller: Caller,
    after: UUID | None,
    most_bytes: int,
) -> Download:
    """Return a user's conversations after this one, archived ones too, as a download."""
    now = datetime.now(UTC)
    plan = await persistence.plan_export(user_id, caller=caller, after=after, most_bytes=most_bytes)
    following = {"after": plan.until, **({"userId": user_id} if caller.is_service else {})}
    part = f"-{after.hex[-8:]}" if after else ""
    return await Download.begun(
        _AccountZip(persistence, user_id, caller, now, after=after, plan=plan).chunks(),
        media_type="application/zip",
        name=f"conversations-{now:%Y-%m-%d}{part}.zip",
        following=urlencode(following) if plan.more else None,
    )


class _AccountZip:
    """The zip, entry by entry, with the manifest that grows beside it."""

    def __init__(
        self,
        persistence: Persistence,
        user_id: UUID,
        caller: Caller,
        now: datetime,
        *,
        after: UUID | None,
        plan: ExportPlan,
    ) -> None:
        self._persistence = persistence
        self._user_id = user_id
        self._caller = caller
        self._now = now
        self._after = after
        self._plan = plan
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._files: list[dict[str, Any]] = []
        self._counts = {"conversations": 0, "archived": 0, "messages": 0, "turns": 0}

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the zip's bytes."""
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                whole = [snapshot for snapshot in page if snapshot.is_whole]
                yield await asyncio.to_thread(asyncio.run, self._written(whole))
                for snapshot in page:
                    if not snapshot.is_whole:
                        async for chunk in self._conversation(snapshot):
                            yield chunk
        async for chunk in self._entry("manifest.json", _only(self._manifest()), self._now):
            yield chunk
        self._zip.close()
        yield self._sink.taken()

    async def _pages(self) -> AsyncGenerator[list[Snapshot]]:
        """Yield conversations with their first messages; the next ones are read meanwhile."""
        reading = asyncio.create_task(self._page(self._after))
        try:
            while page := await reading:
                reading = asyncio.create_task(self._page(page[-1].conversation.id))
                yield page
        finally:
            reading.cancel()

    async def _page(self, after: UUID | None) -> list[Snapshot]:
        if self._plan.until is None or after == self._plan.until:
            return []
        page = await self._persistence.export_conversations(
            self._user_id, caller=self._caller, after=after, until=self._plan.until
        )
        return [
            Snapshot(one.conversation, one.messages, self._persistence, self._caller)
            for one in page.conversations
        ]

    async def _written(self, snapshots: Iterable[Snapshot]) -> bytes:
        """Return the bytes of conversations whose messages are all at hand."""
        return b"".join(
            [chunk for snapshot in snapshots async for chunk in self._conversation(snapshot)]
        )

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
                await _write(entry, chunk)
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
            "after": None if self._after is None else str(self._after),
            "next": str(self._plan.until) if self._plan.more else None,
            "counts": self._counts,
            "files": self._files,
        }
        return json.dumps(manifest, indent=1, ensure_ascii=False).encode()


async def _write(entry: IO[bytes], chunk: bytes) -> None:
    """Compress some bytes: many of them beside the event loop."""
    if len(chunk) < LARGE_CHUNK:
        entry.write(chunk)
    else:
        await asyncio.to_thread(entry.write, chunk)


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
