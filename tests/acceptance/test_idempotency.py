"""The key of a request, as HTTP brings it."""

from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.users import User


def rows_of(db: psycopg.Connection, user: User) -> tuple[int, list[str]]:
    """Return how many turns a user has, and the roles of all of their messages in order."""
    turns = db.execute("select count(*) from turns where user_id = %s", (user.id,)).fetchone()
    messages = db.execute(
        "select role from messages where user_id = %s order by created_at", (user.id,)
    ).fetchall()
    assert turns is not None
    return int(turns[0]), [role for (role,) in messages]


async def ask(client: httpx.AsyncClient, key: str, **body: Any) -> httpx.Response:
    """POST mega-mind under a key."""
    sent = {"request": "Once", **body}
    return await client.post("/mega-mind", json=sent, headers={"Idempotency-Key": key})


@pytest.mark.promise("one key, one effect", red="the first one is taken")
async def test_two_keys_are_refused_and_nothing_is_stored(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Which of them a retry would name is anybody's guess; one that came twice is one key."""
    async with bundle(settings_for(stack), token=user.token) as client:
        two = await client.send(twice_keyed(client, "a", "b"))
        stored = rows_of(db, user)
        same = await client.send(twice_keyed(client, "a", "a"))
        again = await ask(client, "a")
    error = two.json()
    assert (two.status_code, error["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in error["message"]
    assert stored == (0, [])
    assert (same.status_code, again.json()["replayed"]) == (200, True)


def twice_keyed(client: httpx.AsyncClient, *keys: str) -> httpx.Request:
    """Return a request with a header for each key; a client's own headers would replace them."""
    request = client.build_request("POST", "/mega-mind", json={"request": "Once"})
    named = [("Idempotency-Key", key) for key in keys]
    request.headers = httpx.Headers([*request.headers.multi_items(), *named])
    return request
