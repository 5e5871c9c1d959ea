"""Files that are not taken: a clear error each, and nothing of them is left."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.imports.reader import ReadUpload
from tests.support.bundle import bundle, settings_for
from tests.support.importing import JSON, LIST, ZIP, count_of, send
from tests.support.provider_files import as_bytes, claude_sample, zipped
from tests.support.users import User

BAD: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"<html>",
    "cut off": as_bytes(LIST)[:-5],
    "not UTF-8": b'[{"role": "user", "content": "\xff"}]',
    "no conversation": b"[]",
    "a number": b"5",
    "another object": b'{"hello": 1}',
    "a list of anything": b"[1, 2]",
    "a name twice": b'[{"role": "user", "role": "assistant", "content": "x"}]',
    "NaN": b'[{"role": "user", "content": "x", "timestamp": NaN}]',
    "a huge number": b'[{"role": "user", "content": "x", "timestamp": 1e999999999}]',
    "ours without messages": as_bytes({"format": "message-persistence/conversation", "version": 1}),
    "ours, a later version": as_bytes({"format": "message-persistence/conversation", "version": 2}),
    "nested deep": b"[" * 100_000,
    "nested deep, closed": b'[{"mapping": {}, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}]",
}


@pytest.mark.promise("imports")
async def test_a_bad_file_is_a_clear_error_and_leaves_nothing(
    user: User, db: psycopg.Connection
) -> None:
    """400 in the shape of every error, where a stream was asked for too."""
    for name, content in BAD.items():
        answer = await send(user, content, {"accept": "text/event-stream"})
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json()["code"] == "invalid_import", name
        assert len(answer.json()["message"]) < 300, name
    assert count_of(db, user) == (0, 0, 0)


@pytest.mark.promise("imports", red="`require_whole` not called")
async def test_a_file_whose_last_conversation_is_refused_by_the_store_leaves_nothing(
    stack: Stack, user: User, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in a conversation: the ones before it aren't there either."""
    parts_of = ReadUpload.parts

    async def same_times(upload: ReadUpload) -> AsyncIterator[dict[str, Any]]:
        async for part in parts_of(upload):
            for row in part["messages"][-2:]:
                row["created_at"] = "2026-01-01T00:00:00Z"
            yield part

    monkeypatch.setattr(ReadUpload, "parts", same_times)
    async with bundle(settings_for(stack), token=user.token) as client:
        answer = await client.post("/import-conversation", json=claude_sample())
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_import")
    assert count_of(db, user) == (0, 0, 0)


@pytest.mark.promise("imports", red="parts not discarded")
async def test_a_store_that_fails_halfway_leaves_nothing(
    stack: Stack, user: User, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that were staged are discarded, and the same file is taken afterwards."""
    from shared.errors import StoreUnavailableError
    from shared.persistence import Persistence

    stage = Persistence.stage_import

    async def fail_second(self: Any, *ids: Any, **more: Any) -> Any:
        if more["part"]:
            raise StoreUnavailableError
        return await stage(self, *ids, **more)

    rows = [{"role": "user", "content": str(n)} for n in range(1500)]
    async with bundle(settings_for(stack), token=user.token) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Persistence, "stage_import", fail_second)
            failed = await client.post("/import-conversation", json=rows)
        after = count_of(db, user)
        healed = await client.post("/import-conversation", json=rows)
    assert (failed.status_code, after) == (503, (0, 0, 0))
    assert healed.json()["messages"] == 1500


async def test_zips_that_are_none_or_burst_are_refused(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """No zip, none of ours in it, too many entries, a bad ratio, too much in all."""
    rows = as_bytes(LIST)
    settings = settings_for(stack, max_import_bytes=300_000)
    long = as_bytes([{"role": "user", "content": str(uuid.uuid4()) * 4} for _ in range(9000)])
    files = {
        "no zip": rows,
        "cut off": zipped(conversations___json=rows)[:-9],
        "another": zipped(readme___txt=b"x"),
        "ratio": zipped(conversations___json=b" " * 40_000_000 + rows),
        "many": b"PK\x01\x02" * 60_000,
        "size": zipped(conversations___json=long),
    }
    async with bundle(settings, token=user.token) as client:
        answers = {
            name: await client.post("/import-conversation", content=file, headers=ZIP)
            for name, file in files.items()
        }
        over = await client.post("/import-conversation", content=b" " * 300_001, headers=JSON)
        media = await client.post("/import-conversation", content=rows)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "no zip": 400, "cut off": 400, "another": 400, "ratio": 400, "many": 400, "size": 400,
    }  # fmt: skip
    assert (over.status_code, media.status_code) == (413, 415)
    assert count_of(db, user) == (0, 0, 0)
