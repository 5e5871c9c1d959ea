"""Editing, regenerating and choosing, from the request to the row and back."""

from typing import Any

import httpx
import psycopg

from shared.imports.formats.ours import checksum_of
from tests.support.importing import broken, exported, send
from tests.support.provider_files import lines_of
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
