"""What comes in, of every format, goes out again: the same, and with all of its words."""

import asyncio
import io
import json
import re
import zipfile
from typing import Any

import psycopg
import pytest

from tests.support.imported import DATA
from tests.support.importing import ZIP, count_of, said_in, send, taken_from
from tests.support.provider_files import (
    as_bytes,
    gpt_sample,
    lines_of,
)
from tests.support.users import User


def all_cases() -> bytes:
    """Return one zip with every file of tests/data/imports that isn't one."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(DATA.glob("*.json*")):
            opened.write(path, path.name)
    return written.getvalue()


def documents_in(account: bytes) -> dict[str, tuple[Any, str]]:
    """Return each conversation of an account's zip by its checksum, as JSON and as Markdown."""
    with zipfile.ZipFile(io.BytesIO(account)) as opened:
        names = [name for name in opened.namelist() if re.fullmatch(r"conv.*\.json", name)]
        pairs = [
            (json.loads(opened.read(name)), opened.read(name.removesuffix("json") + "md").decode())
            for name in names
        ]
    return {document["checksum"]["value"]: (document, text) for document, text in pairs}


async def test_every_format_can_be_exported_and_imported_elsewhere(
    user: User, other_user: User
) -> None:
    """All of them as one zip; the copies are the same, and Markdown has every word of them."""
    sent = await send(user, all_cases(), ZIP)
    report = sent.json()
    assert report["sources"] == [
        "chatgpt", "claude", "deepseek", "gemini", "langchain", "librechat", "list", "open-webui",
        "sharegpt", "vercel",
    ]  # fmt: skip
    skipped = {row["title"] for row in report["skipped"]}  # the last two are there twice
    assert skipped <= {"Corrupted entry", "f_1e400", "Grows", "Gizmo"}
    account = (await user.functions.get("/export-account")).content
    copied = await send(other_user, account, ZIP)
    assert copied.json()["skipped"] == []
    originals = documents_in(account)
    copies = documents_in((await other_user.functions.get("/export-account")).content)
    assert len(originals) == len(report["taken"])
    for checksum, (document, markdown) in originals.items():
        assert lines_of(copies[checksum][0]) == lines_of(document)
        for message in document["messages"]:
            said = message["content"] + " " + (message["generated_code"] or "")
            assert set(re.findall(r"\w{3,}", said)) <= set(re.findall(r"\w{3,}", markdown))


@pytest.mark.promise("imports", red="`conversations_imported_key` not unique")
async def test_one_file_sent_by_several_at_once_is_taken_once(
    user: User, db: psycopg.Connection
) -> None:
    """They are one import; who comes later finds it there."""
    answers = await asyncio.gather(*(send(user, gpt_sample()) for _ in range(4)))
    named = {
        row["conversationId"]
        for answer in answers
        for row in answer.json()["taken"] + answer.json()["skipped"]
    }
    assert [answer.status_code for answer in answers] == [200] * 4
    assert any(answer.json()["taken"] for answer in answers)
    assert (len(named), count_of(db, user)) == (1, (1, 6, 0))


@pytest.mark.promise("imports", red="messages without an id stay without one")
async def test_messages_without_ids_are_known_by_their_place(user: User) -> None:
    """In a conversation that has an id of its own."""
    said = [{"isCreatedByUser": text in "ac", "text": text} for text in "abcd"]
    months = [
        [{"conversationId": "one", "messages": said[:2]}],
        [{"conversationId": "one", "messages": said}],
    ]
    (conversation,) = await taken_from(user, as_bytes(months[0]))
    second = (await send(user, as_bytes(months[1]))).json()
    third = (await send(user, as_bytes(months[1]))).json()
    (updated,) = second["updated"]
    assert (updated["messages"], updated["changed"]) == (2, 0)
    assert [row["reason"] for row in third["skipped"]] == ["already_imported"]
    assert [text for _, text in await said_in(user, conversation)] == ["a", "b", "c", "d"]
