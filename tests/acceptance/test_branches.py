"""Editing, regenerating and choosing, from the request to the row and back."""

import asyncio
from typing import Any

import httpx
import psycopg

from local.stack import Stack
from shared.imports.formats.ours import checksum_of
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.importing import broken, exported, send
from tests.support.provider_files import lines_of
from tests.support.sse import read_events
from tests.support.users import User


async def ask(client: httpx.AsyncClient, key: str = "", **body: Any) -> dict[str, Any]:
    """POST mega-mind and return what it answers."""
    headers = {"idempotency-key": key} if key else {}
    answer = await client.post("/mega-mind", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def load(client: httpx.AsyncClient, chat: str, **query: Any) -> dict[str, Any]:
    """GET load-conversation and return what it answers."""
    answer = await client.get("/load-conversation", params={"conversationId": chat, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def said(page: dict[str, Any]) -> list[str]:
    """Return what the messages of a page say."""
    return [row["content"] for row in page["messages"]]


async def test_an_edit_stands_beside_what_it_edits(stack: Stack, user: User) -> None:
    """The AI sees the path to it alone; the page shows it, and both are there to turn to."""
    engine = ScriptedEngine("Reply.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        first = await ask(client, request="One")
        chat = first["conversationId"]
        second = await ask(client, request="Two", conversationId=chat)
        edited = await ask(
            client, request="Two!", conversationId=chat, edits=second["userMessage"]["id"]
        )
        assert [row.content for row in engine.histories[-1]] == ["One", "Reply."]
        page = await load(client, chat)
        assert said(page) == ["One", "Reply.", "Two!", "Reply."]
        assert page["branch"] == page["conversation"]["active_branch"] == 1
        old, new = second["userMessage"]["id"], edited["userMessage"]["id"]
        siblings = [{"id": old, "branch": 0}, {"id": new, "branch": 1}]
        assert page["siblings"] == {new: {"position": 2, "count": 2, "messages": siblings}}
        everything = await load(client, chat, view="all")
        assert said(everything) == ["One", "Reply.", "Two", "Reply.", "Two!", "Reply."]
        assert [row["seq"] for row in everything["messages"]] == [1, 2, 3, 4, 5, 6]
        other = await load(client, chat, branch="0")
        assert said(other) == ["One", "Reply.", "Two", "Reply."]
        assert other["siblings"][old]["position"] == 1


async def test_a_reply_is_made_once_more_under_one_key(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The engine is asked what was asked; a retry is given what was stored."""
    engine = ScriptedEngine("First.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        first = await ask(client, request="Why?")
        chat, reply = first["conversationId"], first["message"]["id"]
        engine.message = "Second."
        again = {"conversationId": chat, "regenerates": reply}
        second = await ask(client, "k", **again)
        assert (engine.requests, engine.histories[-1]) == (["Why?", "Why?"], [])
        assert second["userMessage"] == first["userMessage"]
        assert second["message"]["content"] == "Second."
        replayed = await ask(client, "k", **again)
        assert replayed == {**second, "replayed": True}
        other = await client.post(
            "/mega-mind",
            json={**again, "regenerates": first["userMessage"]["id"]},
            headers={"idempotency-key": "k"},
        )
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        followed = await client.get("/mega-mind", params={"turnId": second["turnId"]})
        events = [event async for event in read_events(followed)]
        assert events[0].data["userMessage"] == first["userMessage"]
        page = await load(client, chat)
        assert said(page) == ["Why?", "Second."]
        assert page["siblings"][second["message"]["id"]]["count"] == 2
    roles = db.execute(
        "select role from messages where user_id = %s order by seq", (user.id,)
    ).fetchall()
    assert roles == [("user",), ("assistant",), ("assistant",)]


async def test_a_choice_is_kept_and_written_to(user: User) -> None:
    """By every page, the next request and a plain row; the rest waits where it was."""
    first = (await user.send("One")).json()
    chat = first["conversationId"]
    edit = {"conversationId": chat, "edits": first["userMessage"]["id"]}
    await user.send("Two", **edit)
    chosen = await user.functions.patch(f"/conversations/{chat}", json={"activeBranch": 0})
    assert chosen.json()["conversation"]["active_branch"] == 0
    more = (await user.send("More", conversationId=chat)).json()
    assert more["userMessage"]["branch"] == more["message"]["branch"] == 2
    client = await user.supabase()
    row = {"conversation_id": chat, "role": "user", "content": "Plain"}
    plain = await client.table("messages").insert(row).execute()
    page = await load(user.functions, chat)
    assert [each["seq"] for each in page["messages"]] == [1, 2, 5, 6, 7]
    (stored,) = plain.model_dump()["data"]
    assert (stored["branch"], page["branch"]) == (2, 2)
    ordered = await (
        client.table("messages").select("*").eq("conversation_id", chat).order("created_at")
    ).execute()
    assert [each["seq"] for each in ordered.model_dump()["data"]] == [1, 2, 3, 4, 5, 6, 7]
    assert said(await load(user.functions, chat, branch="1"))[0] == "Two"


async def test_a_hit_opens_on_its_branch(user: User) -> None:
    """Whichever branch is active: the hit says its own, and the page around it is of that path."""
    first = (await user.send("Where is the marmalade?")).json()
    chat, asked = first["conversationId"], first["userMessage"]["id"]
    await user.send("Where is the honey?", conversationId=chat, edits=asked)
    found = await user.functions.post("/search-messages", json={"q": "marmalade", "role": "user"})
    (hit,) = found.json()["hits"]
    assert (hit["messageId"], hit["branch"]) == (asked, 0)
    page = await load(user.functions, chat, around=asked)
    assert (page["branch"], page["messages"][0]["id"]) == (0, asked)


async def test_what_can_not_be_forked_is_refused(user: User) -> None:
    """4xx with a word for each, and nothing stored."""
    first = (await user.send("One")).json()
    chat, asked, reply = first["conversationId"], first["userMessage"]["id"], first["message"]["id"]

    async def problem(**body: Any) -> tuple[int, str]:
        answer = await user.functions.post("/mega-mind", json=body)
        return answer.status_code, answer.json()["code"]

    here, missing = {"conversationId": chat}, "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
    assert await problem(**here, request="x", edits=reply) == (422, "message_not_editable")
    assert await problem(**here, request="x", edits=missing) == (404, "message_not_found")
    assert await problem(**here, regenerates=missing) == (404, "message_not_found")
    invalid = [
        {"regenerates": reply},
        {"request": "x", "edits": asked},
        {**here, "request": "x", "regenerates": reply},
        {**here, "edits": asked},
        {**here, "request": "x", "edits": asked, "persistMessages": False},
        {},
    ]
    assert [await problem(**body) for body in invalid] == [(400, "invalid_request")] * len(invalid)
    patch = user.functions.patch
    unknown = await patch(f"/conversations/{chat}", json={"activeBranch": 1})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "branch_not_found")
    both = await user.load(chat, view="all", branch="0")
    assert (both.status_code, both.json()["code"]) == (400, "invalid_request")
    assert (await load(user.functions, chat))["lastSeq"] == 2


async def test_a_turn_that_runs_keeps_its_branch(stack: Stack, user: User) -> None:
    """409 for another edit and another choice; its reply then stands beside the old one."""
    engine = ScriptedEngine("Reply.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        first = await ask(client, request="One")
        chat, reply = first["conversationId"], first["message"]["id"]
        engine.release.clear()
        engine.started.clear()
        again = {"conversationId": chat, "regenerates": reply}
        asking = asyncio.create_task(ask(client, **again))
        await engine.started.wait()
        page = await load(client, chat)
        assert page["openTurn"]["userMessageId"] == first["userMessage"]["id"]
        assert (said(page), page["branch"]) == (["One"], 1)
        chosen = await client.patch(f"/conversations/{chat}", json={"activeBranch": 0})
        assert (chosen.status_code, chosen.json()["code"]) == (409, "turn_in_progress")
        other = await client.post("/mega-mind", json=again)
        assert (other.status_code, other.json()["code"]) == (409, "turn_in_progress")
        engine.release.set()
        message = (await asking)["message"]
        assert message["branch"] == 1
        assert (await load(client, chat))["siblings"][message["id"]]["position"] == 2


async def test_a_file_of_ours_brings_branches_back_exactly(
    user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Each with its place, and which was active; a file whose branches are no tree is refused."""
    first = (await user.send("One")).json()
    chat = first["conversationId"]
    await user.send("Two", conversationId=chat, edits=first["userMessage"]["id"])
    again = {"conversationId": chat, "regenerates": first["message"]["id"]}
    await user.functions.post("/mega-mind", json=again)
    await user.functions.patch(f"/conversations/{chat}", json={"activeBranch": 1})
    document = await exported(user, chat)
    answer = await send(other_user, document)
    assert answer.is_success, document
    (copy,) = [taken["conversationId"] for taken in answer.json()["taken"]]
    assert lines_of(await exported(other_user, copy)) == lines_of(document)
    theirs, ours = await load(other_user.functions, copy), await load(user.functions, chat)
    assert (said(theirs), theirs["branch"]) == (said(ours), 1)
    assert [row["branch"] for row in theirs["messages"]] == [1, 1]
    assert len(theirs["siblings"]) == len(ours["siblings"]) == 1
    assert broken(db, [copy]) == []
    document["conversation"]["branches"][1]["parent"] = 2
    document["checksum"]["value"] = checksum_of(document)
    refused = await send(other_user, document)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_import")
