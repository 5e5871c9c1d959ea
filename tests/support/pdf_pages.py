"""Conversations to be set, and what can be read from the PDF that comes of them."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pypdfium2

from shared.exports.pdf.typeset.worker import typeset
from shared.models.rows import ConversationRow, MessageRow
from shared.models.transfers import ShownMessage

OWNER = UUID(int=1)
START = datetime(2026, 11, 22, 9, 14, 59, 123456, tzinfo=UTC)
LAST_ACTIVITY = datetime(2026, 11, 23, 17, 3, 4, 987654, tzinfo=UTC)
# What an extractor adds to show directions, or stands for a mark that its letter tells already.
UNSEEN = dict.fromkeys(map(ord, "\u200b\u202a\u202b\u202c\u200e\u200f\ufffe\x0c"))


def a_conversation(title: str = "A title", last_branch: int = 0) -> ConversationRow:
    """Return a conversation's row."""
    return ConversationRow(
        id=UUID(int=2),
        user_id=OWNER,
        project_id=None,
        title=title,
        metadata={},
        last_seq=0,
        last_branch=last_branch,
        created_at=START.isoformat(),
        updated_at=LAST_ACTIVITY.isoformat(),
        archived_at=None,
    )


def messages(*turns: str | tuple[str, str] | dict[str, Any]) -> list[MessageRow]:
    """Return rows: a text alternates between user and assistant, a pair names its role."""
    return [_message(seq, turn) for seq, turn in enumerate(turns, 1)]


def _message(seq: int, turn: str | tuple[str, str] | dict[str, Any]) -> MessageRow:
    role = "user" if seq % 2 else "assistant"
    columns: dict[str, Any] = {
        "id": UUID(int=100 + seq),
        "conversation_id": UUID(int=2),
        "role": role,
        "content": "",
        "generated_code": None,
        "metadata": {},
        "user_id": OWNER,
        "is_summary": False,
        "created_at": (START + timedelta(minutes=seq)).isoformat(),
        "seq": seq,
        "turn_id": None,
    }
    if isinstance(turn, str):
        columns["content"] = turn
    elif isinstance(turn, tuple):
        columns["role"], columns["content"] = turn
    else:
        columns |= turn
    return ShownMessage(**columns)


async def from_store(rows: Iterable[MessageRow]) -> AsyncIterator[MessageRow]:
    """Yield rows one by one, as the store's pages come."""
    for row in rows:
        yield row


def pdf_of(
    *turns: str | tuple[str, str] | dict[str, Any], title: str = "A title", last_branch: int = 0
) -> bytes:
    """Return the PDF of a conversation, set in this process."""
    rows = [a_conversation(title, last_branch), *messages(*turns)]
    with TemporaryDirectory() as folder:
        target = Path(folder) / "whole.pdf"
        typeset((row.model_dump_json().encode() for row in rows), target)
        return target.read_bytes()


def text_of(pdf: bytes) -> str:
    """Return the text of all pages, as a viewer copies it."""
    with pypdfium2.PdfDocument(pdf) as document:
        pages = [page.get_textpage().get_text_range() for page in document]
    return "\n".join(pages).replace("\r\n", "\n").translate(UNSEEN)


def pdftotext(pdf: bytes, *options: str) -> str | None:
    """Return what pdftotext says, where this machine has it."""
    command = shutil.which("pdftotext")
    if command is None:
        return None
    done = subprocess.run([command, *options, "-", "-"], input=pdf, capture_output=True, check=True)
    return done.stdout.decode().translate(UNSEEN)


def solid(text: str) -> str:
    """Return a text without its spaces and line breaks, which paper sets differently."""
    return re.sub(r"\s+", "", text)
