"""The cursor of a list: what goes in comes out, and nothing else is one."""

import base64
import uuid
from datetime import datetime

import pytest

from shared.conversations.cursor import decode_cursor, encode_cursor
from shared.errors import InvalidRequestError
from shared.models.conversations import ListPlace
from shared.models.search import SearchPlace

SOME_ID = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
NOON = "2026-11-22T12:00:00Z"


def place(moment: str) -> ListPlace:
    """Return the place before a conversation whose last activity was then."""
    return ListPlace.model_validate({"before_updated_at": moment, "before_id": uuid.uuid4()})


@pytest.mark.parametrize(
    "moment",
    ["2026-11-22T10:00:00.123456+00:00", "2026-11-22T10:00:00+00:00", "2026-11-22T10:00:00+05:30"],
)
def test_a_cursor_names_its_place_to_the_microsecond(moment: str) -> None:
    """Whatever offset the database prints."""
    given = place(moment)
    cursor = encode_cursor(given)
    assert decode_cursor(ListPlace, cursor) == given
    assert given.before_updated_at == datetime.fromisoformat(moment)
    assert cursor.isascii()
    assert not set(cursor) & set("=+/ ")


def test_every_length_of_padding_is_restored() -> None:
    """Moments print with and without fractions, so lengths differ."""
    for digits in ("", *("." + "1" * count for count in range(1, 7))):
        given = place(f"2026-11-22T10:00:00{digits}+00:00")
        assert decode_cursor(ListPlace, encode_cursor(given)) == given


@pytest.mark.parametrize("rank", [0.0, 0.06079271, 1e-20, 0.98500025])
def test_a_rank_comes_back_to_the_last_digit(rank: float) -> None:
    """Or the hit that a page ended with would come again."""
    given = SearchPlace.model_validate(
        {"rank": rank, "created_at": NOON, "message_id": SOME_ID,
         "oldest": NOON, "newest": NOON, "parts": True, "cut": False}
    )  # fmt: skip
    assert decode_cursor(SearchPlace, encode_cursor(given)) == given


def encoded(text: str) -> str:
    """Return text as a cursor would be."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "====", "é", "\x00", "AAAA", "____", "null",
        encoded(""), encoded("null"), encoded("{}"), encoded("[]"), encoded('"abc"'),
        encoded("[" * 300),
        encoded(f'["now","{SOME_ID}"]'),
        encoded(f'["{NOON}","x"]'),
        encoded(f'["{NOON}"]'),
        encoded(f'["{NOON}","{SOME_ID}",1]'),
        encoded(f'["2026-11-22T12:00:00","{SOME_ID}"]'),
        encoded(f'["2026-13-22T12:00:00Z","{SOME_ID}"]'),
        encoded("\ud800"),
    ],
    ids=ascii,
)  # fmt: skip
def test_anything_else_is_an_invalid_request(cursor: str) -> None:
    """Never an error of ours."""
    with pytest.raises(InvalidRequestError, match="cursor"):
        decode_cursor(ListPlace, cursor)


@pytest.mark.parametrize("rank", ["NaN", "Infinity", "-1", '"x"', "null"])
def test_a_rank_that_no_search_gives_is_refused(rank: str) -> None:
    """What JSON can't hold would otherwise fail on its way to the store."""
    made = encoded(f'[{rank},"{NOON}","{SOME_ID}","{NOON}","{NOON}",false,false]')
    with pytest.raises(InvalidRequestError, match="cursor"):
        decode_cursor(SearchPlace, made)
