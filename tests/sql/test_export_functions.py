"""The SQL of exports: pages that are bounded by rows and by bytes, whatever is in them."""

import uuid

import psycopg
import pytest

from tests.support.sql_calls import make_account


@pytest.fixture
def owner(scratch: psycopg.Connection) -> uuid.UUID:
    """A user."""
    return uuid.UUID(make_account(scratch))


@pytest.mark.promise("exports", red="`export_messages` without `until`")
def test_a_page_ends_before_it_is_too_large(scratch: psycopg.Connection, owner: uuid.UUID) -> None:
    """By rows and by bytes; a message that is too large by itself is a page of its own."""
    row = scratch.execute(
        "insert into conversations (user_id) values (%s) returning id", (owner,)
    ).fetchone()
    assert row is not None
    scratch.execute(
        "insert into messages (conversation_id, user_id, role, content)"
        " select %s, %s, 'user', repeat('x', size) from unnest(array[10, 900, 5000, 10, 10])"
        " as size",
        (row[0], owner),
    )

    def page(after: int, page_size: int = 500, until: int | None = None) -> list[int]:
        found = scratch.execute(
            "select export_messages(%s, %s, %s, %s, %s, 1000)",
            (owner, row[0], after, until, page_size),
        ).fetchone()
        assert found is not None
        return [message["seq"] for message in found[0]["messages"]]

    assert [page(0), page(2), page(3), page(5)] == [[1, 2], [3], [4, 5], []]
    assert [page(0, 1), page(3, 500, 4)] == [[1], [4]]
