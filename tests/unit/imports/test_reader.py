"""The process that reads files: what it hands back, and what hostile ones cost."""

import asyncio
import io
import json
import resource
import time
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

import pytest

from shared.errors import ChecksumMismatchError, InvalidImportError
from shared.imports import parts, reader
from shared.imports.parsed import ParsedConversation, ParsedMessage
from shared.imports.parts import write_parts
from shared.imports.reader import ReadUpload, read_upload
from shared.imports.reading import Rejected
from shared.models.transfers import ReadingTask
from tests.support.imported import conversations_in, everything_in
from tests.support.provider_files import gpt_sample, zipped

MEGABYTES = 1


async def read(content: Any, *, is_zip: bool = False, **more: Any) -> ReadUpload:
    """Have a file read."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    values = {"user_id": uuid4(), "by": "user", "key": None, "limit": 64 * 1024**2}
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return await read_upload(file, ReadingTask(is_zip=is_zip, **{**values, **more}))


async def reports_of(upload: ReadUpload) -> list[dict[str, Any]]:
    """Return what is to be reported of each conversation that was read."""
    return [read async for part in upload.parts() for read in part["reads"]]


async def test_a_file_comes_back_in_parts_with_a_summary() -> None:
    """Each as take_import_part takes it: a conversation is whole where it fits in one."""
    rows = [{"role": "user", "content": str(n)} for n in range(1500)]
    upload = await read([{"hello": [1]}, *gpt_sample(), *rows])
    again = await read([{"hello": [1]}, *gpt_sample(), *rows])
    parts = [part async for part in upload.parts()]
    pieces = [
        (piece["place"], piece["first"], piece["is_last"], len(piece["messages"]))
        for part in parts
        for piece in part["pieces"]
    ]
    assert pieces == [(0, 1, True, 6), (1, 1, False, 1000), (1, 1001, True, 500)]
    gpt, plain, odd = (read for part in parts for read in part["reads"])
    assert (odd.get("place"), odd["reason"]) == (None, "unreadable")
    assert (gpt["source"], gpt["messages"], plain["messages"]) == ("chatgpt", 6, 1500)
    found = upload.found
    assert (found.messages, found.parts, found.sources) == (1506, 3, ["chatgpt", "list"])
    assert found == again.found
    first = parts[0]["pieces"][0]["messages"][0]
    assert json.loads(first["metadata"])["imported"]["source"] == "chatgpt"


def written(*reads: ParsedConversation | Rejected) -> list[dict[str, Any]]:
    """Return the parts of what was read."""
    file = io.BytesIO()
    write_parts(reads, file, by="user", key=None)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_parts_are_bounded_by_conversations_and_characters_too() -> None:
    """Many small ones, and few large ones; a message is never cut for it."""
    many = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(600)]
    large = [{"role": "user", "content": "x" * 600_000} for _ in range(3)]
    parts = written(*conversations_in([*many, {"messages": large}]))
    assert [len(part["pieces"]) for part in parts] == [250, 250, 100, 1, 1, 1]
    assert [part["messages"] for part in parts] == [250, 250, 100, 1, 1, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": "message-persistence/conversation", "version": 1}, "ours"),
        ([{"role": "user", "content": "x", "timestamp": float("inf")}], "Inf"),
        ([], "no conversation"),
    ],
)
def test_a_file_with_nothing_to_take_is_an_error(content: Any, words: str) -> None:
    """In the words of what is wrong with it."""
    taken, rejected = everything_in(content)
    with pytest.raises(InvalidImportError, match=words):
        written(*taken, *rejected)


async def test_what_is_wrong_with_a_file_comes_over_from_the_other_process() -> None:
    """In its words."""
    with pytest.raises(InvalidImportError, match="not valid JSON"):
        await read(b"<html>")


@pytest.mark.promise("imports", red="the checksum not compared")
async def test_a_file_of_ours_that_was_changed_is_an_error_of_its_own() -> None:
    """Its class comes over from the other process."""
    document = {
        "format": "message-persistence/conversation", "version": 1, "messages": [],
        "checksum": {"algorithm": "sha256", "value": "0"},
        "conversation": {"title": "T", "metadata": {}, "created_at": "2026-01-01T00:00:00Z",
                         "archived_at": None},
    }  # fmt: skip
    with pytest.raises(ChecksumMismatchError):
        await read(document)


async def test_a_tree_as_deep_as_a_long_conversation_is_read() -> None:
    """LibreChat nests each message in the one before."""
    text = '{"conversationId": "c", "messages": ['
    nested = '{"messageId": "%d", "isCreatedByUser": true, "text": "x", "children": ['
    content = text + "".join(nested % n for n in range(1500)) + "]}" * 1500 + "]}"
    (conversation,) = await reports_of(await read(content.encode()))
    assert conversation["messages"] == 1500


async def test_a_file_that_takes_too_much_memory_or_time_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process ends, and with it what it took."""
    with pytest.raises(InvalidImportError, match="more time or memory"):
        await read([{"role": "user", "content": "x" * 3 * 10**7}], memory=350 * 1024**2)
    monkeypatch.setattr(reader, "READING_SECONDS", 0.01)
    with pytest.raises(InvalidImportError, match="more time or memory"):
        await read([])


def repeated(head: bytes, item: bytes, tail: bytes) -> bytes:
    """Return some megabytes of one thing."""
    return head + item * (MEGABYTES * 1024**2 // len(item)) + tail


def hostile_files() -> Iterator[tuple[str, bytes]]:
    """Yield files that cost whoever parses them without a limit a hundred times their size."""
    yield "lists in a conversation", repeated(b'[{"mapping": [', b"[],", b"[]]}]")
    yield "texts", repeated(b"[", b'"",', b'""]')
    yield "digits", repeated(b'[{"role": "user", "content": "x", "at": ', b"9", b"}]")
    yield "half escapes", repeated(b'[{"role": "user", "content": "', b"\\ud83d", b'"')
    yield "lines", repeated(b"", b'{"a": [{}]}\n', b"")
    document = b'{"format": "message-persistence/conversation", "version": 1, "messages": ['
    yield "ours", repeated(document, b"{},", b"{}]}")


async def test_hostile_files_cost_the_serving_process_nothing() -> None:
    """A clear error, while this process answers all the time and its memory stays as it is."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0

    async def measure() -> None:
        nonlocal slowest
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - started)

    outcomes: dict[str, object] = {}
    for place, (name, content) in enumerate(hostile_files()):
        packed = place % 2 == 0
        file = zipped(conversations___json=content) if packed else content
        measuring = asyncio.create_task(measure())
        try:
            first, *_ = await reports_of(await read(file, is_zip=packed))
            outcomes[name] = first.get("messages", 0)
        except InvalidImportError as exc:
            outcomes[name] = len(exc.message) < 300
        measuring.cancel()
    assert outcomes.pop("lists in a conversation") == 0
    assert set(outcomes.values()) == {True}, outcomes
    assert slowest < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_file_whose_report_would_be_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The serving process holds the report, and a small zip of long names would fill it."""
    monkeypatch.setattr(parts, "MAX_REPORT_CHARS", 10_000)
    odd = InvalidImportError("Odd")
    few, many = ([Rejected("\U0001f600" * 200, odd)] * count for count in (10, 50))
    taken = ParsedConversation("list", "id", "T", [ParsedMessage("user", "x", None)])
    assert written(taken, *few)[0]["messages"] == 1
    with pytest.raises(InvalidImportError, match="in parts"):
        written(taken, *many)
