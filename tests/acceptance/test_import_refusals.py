"""Files that are not taken: a clear error each, and nothing of them is left."""

import uuid
from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.errors import StoreUnavailableError
from shared.persistence import Persistence
from tests.support.bundle import bundle, settings_for
from tests.support.importing import JSON, LIST, ZIP, broken, count_of, said_in, send
from tests.support.provider_files import as_bytes, zipped
from tests.support.sse import read_events
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
    """400 in the shape of every error; where a stream was asked for, its last event."""
    headers = {**JSON, "accept": "text/event-stream"}
    async with user.functions.stream(
        "POST", "/import-conversation", content=BAD["cut off"], headers=headers
    ) as streamed:
        *_, last = [event async for event in read_events(streamed)]
    assert (last.name, last.data["code"]) == ("error", "invalid_import")
    for name, content in BAD.items():
        answer = await send(user, content)
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json()["code"] == "invalid_import", name
        assert len(answer.json()["message"]) < 300, name
    assert count_of(db, user) == (0, 0, 0)


@pytest.mark.promise("imports", red="parts numbered from 0 in each call")
async def test_a_store_that_fails_halfway_leaves_whole_conversations_and_is_gone_on_with(
    stack: Stack, user: User, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs more parts than were taken is nowhere to be seen; the same file ends it."""
    take = Persistence.take_import_part

    async def fail_late(self: Any, *ids: Any, **more: Any) -> Any:
        if more["part"] == 2:
            raise StoreUnavailableError
        return await take(self, *ids, **more)

    long = [{"role": "user", "content": str(n)} for n in range(1500)]
    file = [{"messages": LIST}, {"messages": long}]
    async with bundle(settings_for(stack), token=user.token) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Persistence, "take_import_part", fail_late)
            failed = await client.post("/import-conversation", json=file)
        seen = (await user.functions.get("/conversations")).json()["conversations"]
        healed = (await client.post("/import-conversation", json=file)).json()
    short, whole = (row["conversationId"] for row in healed["taken"])
    assert (failed.status_code, failed.json()["code"]) == (503, "store_unavailable")
    assert [row["id"] for row in seen] == [short]
    assert (healed["messages"], healed["skipped"]) == (1503, [])
    assert len(await said_in(user, whole)) == 50
    assert broken(db, [short, whole]) == []


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
