"""The cursor of a list: what goes in comes out, and nothing else is one."""

import base64
import uuid
from datetime import datetime, timedelta

import pytest

from functions.conversations.cursor import decode_cursor, encode_cursor
from shared.errors import InvalidRequestError
from shared.models.rows import ConversationRow

SOME_ID = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"


def row(updated_at: str) -> ConversationRow:
    """Return a conversation whose last activity was then."""
    return ConversationRow(
        id=uuid.uuid4(), user_id=uuid.uuid4(), project_id=None, title="x", metadata={}, last_seq=0,
        created_at=updated_at, updated_at=updated_at, archived_at=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "moment",
    ["2026-11-22T10:00:00.123456+00:00", "2026-11-22T10:00:00+00:00", "2026-11-22T10:00:00+05:30"],
)
def test_a_cursor_names_its_row_to_the_microsecond(moment: str) -> None:
    """Whatever offset the database prints."""
    last = row(moment)
    cursor = encode_cursor(last)
    assert decode_cursor(cursor) == (datetime.fromisoformat(moment), last.id)
    assert cursor.isascii()
    assert not set(cursor) & set("=+/ ")


@pytest.mark.parametrize("hours", range(24))
def test_every_length_of_padding_is_restored(hours: int) -> None:
    """Moments print with and without fractions, so lengths differ."""
    moment = datetime.fromisoformat("2026-11-22T10:00:00+00:00") + timedelta(hours=hours)
    last = row(str(moment.replace(microsecond=hours)).replace(" ", "T"))
    assert decode_cursor(encode_cursor(last))[1] == last.id


def encoded(text: str) -> str:
    """Return text as a cursor would be."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "====", "é", "\x00", "AAAA", "____", "null",
        encoded(""), encoded("now " + SOME_ID), encoded("2026-11-22T10:00:00+00:00"),
        encoded("2026-11-22T10:00:00+00:00 "), encoded("2026-11-22T10:00:00+00:00 x"),
        encoded(f"2026-13-22T10:00:00+00:00 {SOME_ID}"), encoded(f" {SOME_ID}"),
        encoded("\ud800"), encoded(f"2026-11-22T10:00:00+99:00 {SOME_ID}"),
    ],
    ids=ascii,
)  # fmt: skip
def test_anything_else_is_an_invalid_request(cursor: str) -> None:
    """Never an error of ours."""
    with pytest.raises(InvalidRequestError, match="cursor"):
        decode_cursor(cursor)
