"""What one user may write in a day: bytes over both doors, by the setting of the bundle."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from postgrest import APIError

from local.stack import Stack
from tests.support.stack import running_stack
from tests.support.users import make_user

pytestmark = pytest.mark.promise("costs")

BYTES_PER_DAY = 1_000_000


@pytest.fixture(scope="module")
def limited() -> Iterator[Stack]:
    """A stack whose bundle was started with a limit of bytes."""
    with running_stack(BYTES_PER_DAY=str(BYTES_PER_DAY)) as running:
        yield running


async def test_bytes_are_limited_over_both_doors(limited: Stack) -> None:
    """A message through one is a message less through the other; somebody else writes on."""
    user, other = await make_user(limited), await make_user(limited)
    client = await user.supabase()
    first = await user.send("x" * 900_000)
    assert first.status_code == 200
    large = "y" * 200_000
    message = {
        "conversation_id": first.json()["conversationId"], "user_id": user.id, "role": "user",
        "content": large,
    }  # fmt: skip
    for call in (
        client.table("messages").insert(message),
        client.table("conversations").insert({"user_id": user.id, "metadata": {"a": large}}),
    ):
        with pytest.raises(APIError) as over_data_api:
            await call.execute()
        assert "Too many bytes written this day." in str(over_data_api.value.message)
    refused: list[httpx.Response] = [
        await user.send(large),
        await user.functions.post("/conversations", json={"metadata": {"a": large}}),
        await user.functions.post(
            "/import-conversation", json=[{"role": "user", "content": large}]
        ),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_bytes")
        assert 1 <= int(answer.headers["Retry-After"]) <= 86_400
    message["content"] = "short"
    await client.table("messages").insert(message).execute()
    assert (await other.send(large)).status_code == 200
    with psycopg.connect(limited.settings.db_url) as db:
        parts = db.execute("select count(*) from private.import_parts").fetchone()
    assert parts == (0,)
    for one in (user, other):
        await one.functions.aclose()


async def test_a_file_that_is_too_large_for_the_day_leaves_nothing(limited: Stack) -> None:
    """Although its first parts were stored: nobody sees a conversation that isn't whole."""
    user = await make_user(limited)
    rows: list[dict[str, Any]] = [{"role": "user", "content": "z" * 400_000}] * 12
    answer = await user.functions.post("/import-conversation", json=rows)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_bytes")
    with psycopg.connect(limited.settings.db_url) as db:
        left = db.execute(
            "select (select count(*) from private.conversations where user_id = %(id)s),"
            " (select count(*) from public.conversations where user_id = %(id)s"
            " and deleting_since is null)",
            {"id": user.id},
        ).fetchone()
    assert left == (0, 0)
    await user.functions.aclose()
