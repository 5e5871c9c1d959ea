"""Exports: what comes out is everything, in order, whole or visibly not, and only for its owner."""

import hashlib
import io
import json
import uuid
import zipfile
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.imports.formats.ours import checksum_of
from tests.support.bundle import bundle, settings_for
from tests.support.engines import FailingEngine
from tests.support.users import User, functions_client

SECRET = "canary-of-an-export"


async def conversation_of(user: User, *requests: str) -> str:
    """Send these requests in one conversation and return its id."""
    more: dict[str, Any] = {}
    for request in requests:
        sent = (await user.send(request, **more)).json()
        more = {"conversationId": sent["conversationId"]}
    return str(more["conversationId"])


def insert_messages(db: psycopg.Connection, conversation: str, count: int, text: str) -> None:
    """Add user rows to a conversation."""
    db.execute(
        "insert into messages (conversation_id, role, user_id, content, metadata)"
        " select %(id)s, 'user', user_id, %(text)s || n, '{\"n\": 1.50}'"
        " from conversations, generate_series(1, %(count)s) as n where id = %(id)s",
        {"id": conversation, "count": count, "text": text},
    )


async def export(user: User, conversation: str, **query: str) -> httpx.Response:
    """GET export-conversation."""
    return await user.functions.get(
        "/export-conversation", params={"conversationId": conversation, **query}
    )


async def test_json_holds_everything_with_a_checksum_that_is_right(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Rows as they are stored, the turn beside its message, a failed one too."""
    async with bundle(settings_for(stack), token=user.token, engine=FailingEngine()) as client:
        sent = (await client.post("/mega-mind", json={"request": "Please"})).json()
    conversation = sent["conversationId"]
    await user.send("Write a Python function", conversationId=conversation)
    answer = await export(user, conversation)
    document = answer.json()
    loaded = (await user.load(conversation)).json()
    assert answer.headers["content-type"] == "application/json"
    assert (document["format"], document["version"]) == ("message-persistence/conversation", 1)
    assert document["conversation"]["title"] == loaded["conversation"]["title"]
    for row, stored in zip(document["messages"], loaded["messages"], strict=True):
        names = ("id", "seq", "role", "content", "generated_code", "metadata", "turn_id")
        assert {n: row[n] for n in names} == {n: stored[n] for n in names}
    failed = document["messages"][0]["turn"]
    assert (failed["status"], failed["error"]["type"]) == ("failed", "provider_unavailable")
    assert failed["reply_message_id"] == document["messages"][1]["id"]
    assert document["source"]["conversationId"] == conversation
    assert document["checksum"] == {"algorithm": "sha256", "value": checksum_of(document)}


@pytest.mark.promise("exports")
async def test_numbers_keep_every_digit(user: User, db: psycopg.Connection) -> None:
    """Also those that a double can't hold."""
    conversation = await conversation_of(user, "Hi")
    exact = '{"n": 12345678901234567890.123456789, "m": 1e5000}'
    db.execute("update conversations set metadata = %s where id = %s", (exact, conversation))
    text = (await export(user, conversation)).text
    assert '"n":12345678901234567890.123456789' in text
    assert '"m":1e+5000' in text


@pytest.mark.promise("exports", red="`export_messages` without `until`")
@pytest.mark.parametrize("export_format", ["json", "markdown"])
async def test_what_is_written_while_it_streams_is_left_out(
    stack: Stack, user: User, db: psycopg.Connection, export_format: str
) -> None:
    """It is the conversation as of last_seq at the start, by both methods."""
    conversation = await conversation_of(user, "Hi")
    insert_messages(db, conversation, 6, "x" * 500_000)
    body = {"conversationId": conversation, "format": export_format}
    async with user.functions.stream("POST", "/export-conversation", json=body) as answer:
        chunks = answer.aiter_bytes()
        text = await anext(chunks)
        insert_messages(db, conversation, 3, "LATE")
        text += b"".join([chunk async for chunk in chunks])
    assert b"LATE" not in text
    if export_format == "json":
        assert json.loads(text)["source"]["lastSeq"] == len(json.loads(text)["messages"]) == 8
    else:
        assert text.endswith(b"End of the conversation: 8 messages.\n")


@pytest.mark.promise("exports", red="the error swallowed")
@pytest.mark.parametrize("export_format", ["json", "markdown"])
async def test_a_failure_on_the_way_is_visible(
    user: User, db: psycopg.Connection, export_format: str
) -> None:
    """The conversation is deleted while it streams: the transfer is broken off, not ended."""
    conversation = await conversation_of(user, "Hi")
    insert_messages(db, conversation, 60, "x" * 500_000)
    body = {"conversationId": conversation, "format": export_format}
    async with user.functions.stream("POST", "/export-conversation", json=body) as answer:
        assert answer.status_code == 200
        db.execute("delete from conversations where id = %s", (conversation,))
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


@pytest.mark.promise("exports")
async def test_only_the_owner_and_the_service_can_export(
    stack: Stack, user: User, other_user: User
) -> None:
    """Another user and nobody get what a missing conversation gets; anon gets a 401."""
    conversation = await conversation_of(user, SECRET)
    environment = stack.settings.environment()
    query = {"conversationId": conversation}
    missing = await export(user, str(uuid.uuid4()))
    foreign = await export(other_user, conversation)
    async with functions_client(stack.settings.url) as stranger:
        anon = await stranger.get("/export-conversation", params=query)
    service_key = {"apikey": environment["SUPABASE_SECRET_KEY"]}
    async with functions_client(stack.settings.url, **service_key) as service:
        served = await service.get("/export-conversation", params={**query, "userId": user.id})
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json())
    assert (foreign.status_code, anon.status_code, served.status_code) == (404, 401, 200)
    assert SECRET not in foreign.text + anon.text
    assert SECRET in served.text


@pytest.mark.promise("exports")
async def test_an_account_is_one_zip_with_everything(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Each conversation as JSON and Markdown, archived ones too, nobody else's; sums are right."""
    await conversation_of(other_user, SECRET)
    kept = await conversation_of(user, "Kept", "More")
    hidden = await conversation_of(user, "Hidden")
    await user.functions.patch(f"/conversations/{hidden}", json={"archived": True})
    db.execute("update conversations set created_at = '1970-01-01' where id = %s", (hidden,))
    answer = await user.functions.get("/export-account")
    zipped = zipfile.ZipFile(io.BytesIO(answer.content))
    manifest = json.loads(zipped.read("manifest.json"))
    documents = [json.loads(zipped.read(name)) for name in zipped.namelist()
                 if name.endswith(".json") and name != "manifest.json"]  # fmt: skip
    assert answer.headers["content-type"] == "application/zip"
    assert zipped.testzip() is None
    assert {d["source"]["conversationId"] for d in documents} == {kept, hidden}
    assert all(d["checksum"]["value"] == checksum_of(d) for d in documents)
    assert manifest["counts"] == {"conversations": 2, "archived": 1, "messages": 6, "turns": 3}
    assert [file["path"] for file in manifest["files"]] == zipped.namelist()[:-1]
    for file in manifest["files"]:
        content = zipped.read(file["path"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            file["bytes"], file["sha256"])  # fmt: skip
    assert SECRET.encode() not in b"".join(map(zipped.read, zipped.namelist()))


@pytest.mark.promise("exports")
async def test_whose_account_comes_from_the_token(
    stack: Stack, user: User, other_user: User
) -> None:
    """Nobody exports another's account; the service names whose it wants."""
    await conversation_of(user, "Mine")
    claimed = await other_user.functions.post("/export-account", json={"userId": user.id})
    async with functions_client(stack.settings.url) as stranger:
        anon = await stranger.get("/export-account")
    key = {"apikey": stack.settings.environment()["SUPABASE_SECRET_KEY"]}
    async with functions_client(stack.settings.url, **key) as service:
        unnamed = await service.get("/export-account")
        served = await service.get("/export-account", params={"userId": user.id})
    statuses = [claimed.status_code, anon.status_code, unnamed.status_code, served.status_code]
    assert statuses == [403, 401, 400, 200]
    assert len(zipfile.ZipFile(io.BytesIO(served.content)).namelist()) == 3
