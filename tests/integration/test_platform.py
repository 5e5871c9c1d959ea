"""The local Data API keeps the limits that a hosted project has."""

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.users import User


@pytest.fixture
def own(stack: Stack, user: User) -> dict[str, str]:
    """Headers of a user's own calls."""
    key = stack.settings.environment()["SUPABASE_PUBLISHABLE_KEY"]
    return {"apikey": key, "authorization": f"Bearer {user.token}"}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?select=id", "?order=id&limit=1"])
async def test_a_change_of_all_rows_is_refused(
    stack: Stack, user: User, own: dict[str, str], method: str, query: str
) -> None:
    """As pg-safeupdate does; a filter of any kind lets it pass, to the caller's own rows."""
    await user.send("Hello")
    async with httpx.AsyncClient(base_url=stack.settings.url, headers=own) as http:
        path = f"/rest/v1/conversations{query}"
        refused = await http.request(method, path, json={"title": "x"})
        listed = await http.get("/rest/v1/conversations?select=title")
        path = f"/rest/v1/conversations?user_id=eq.{user.id}"
        passed = await http.request(method, path, json={"title": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "21000")
    assert "requires a WHERE clause" in refused.json()["message"]
    assert [row["title"] for row in listed.json()] == ["Hello"]
    assert passed.is_success


async def test_a_call_that_waits_ends(
    stack: Stack, user: User, db: psycopg.Connection, own: dict[str, str]
) -> None:
    """After eight seconds, whatever it waits for: without a limit it would wait for ever."""
    conversation = (await user.send("Hello")).json()["conversationId"]
    path = f"/rest/v1/conversations?id=eq.{conversation}"
    async with httpx.AsyncClient(base_url=stack.settings.url, headers=own, timeout=60) as http:
        with db.transaction():
            db.execute("select from conversations where id = %s for update", (conversation,))
            late = await http.patch(path, json={"title": "x"})
        after = await http.get(f"{path}&select=title")
    assert late.is_error
    assert after.json() == [{"title": "Hello"}]


async def test_what_the_local_data_api_lacks(stack: Stack, user: User, own: dict[str, str]) -> None:
    """The page of limits says so: who meets it would look for a fault of their own."""
    await user.send("Hello")
    embedded = "/rest/v1/messages?select=id,conversations{}(title)"
    async with httpx.AsyncClient(base_url=stack.settings.url, headers=own) as http:
        ambiguous = await http.get(embedded.format(""))
        named = await http.get(embedded.format("!messages_user_id_conversation_id_fkey"))
        empty = await http.post("/rest/v1/conversations?select=id", json={})
        default = await http.post("/rest/v1/conversations?select=id", json={"title": "New Chat"})
    assert (ambiguous.status_code, ambiguous.json()["code"]) == (300, "PGRST201")
    assert [row["conversations"] for row in named.json()] == [{"title": "Hello"}] * 2
    assert (empty.status_code, default.status_code) == (400, 201)
