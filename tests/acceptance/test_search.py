"""search-messages: from what was said to the place where it was said, by everybody who may ask."""

from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.sql_calls import make_conversation
from tests.support.users import User, functions_client


async def search(user: User, q: str, **more: Any) -> dict[str, Any]:
    """POST search-messages as this user and return what it answers."""
    answer = await user.functions.post("/search-messages", json={"q": q, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def marked(hit: dict[str, Any]) -> list[str]:
    """Return what a snippet's marks say."""
    snippet = hit["snippet"]
    return [snippet["text"][mark["start"] : mark["end"]] for mark in snippet["marks"]]


def say(db: psycopg.Connection, user: User, conversation: str, *texts: str) -> None:
    """Write messages of the user's."""
    for text in texts:
        db.execute(
            "insert into messages (conversation_id, user_id, role, content)"
            " values (%s, %s, 'user', %s)",
            (conversation, user.id, text),
        )


async def test_a_hit_leads_to_its_place_in_the_conversation(user: User) -> None:
    """What mega-mind stored is found, by GET and by POST alike, and `around` opens it."""
    turn = (await user.send("Why does the marmalade parser fail?")).json()
    posted = await search(user, "marmalade", role="user")
    got = await user.functions.get("/search-messages", params={"q": "marmalade", "role": "user"})
    (hit,) = posted["hits"]
    opened = await user.load(hit["conversationId"], around=hit["messageId"])
    assert got.json() == posted
    assert (hit["conversationId"], hit["messageId"], hit["seq"]) == (
        turn["conversationId"], turn["userMessage"]["id"], 1,
    )  # fmt: skip
    assert hit["title"] == "Why does the marmalade parser fail?"
    assert marked(hit) == ["marmalade"]
    assert hit["messageId"] in [row["id"] for row in opened.json()["messages"]]
    assert (posted["parts"], posted["truncated"], posted["nextCursor"]) == (False, False, None)


@pytest.mark.promise("search")
async def test_nobody_finds_what_is_not_their_own(
    stack: Stack, user: User, other_user: User, service: httpx.AsyncClient
) -> None:
    """Another user finds nothing, a stranger is a 401, the service has no messages of its own."""
    await user.send("The heliotrope is in the safe")
    params = {"q": "heliotrope"}
    async with functions_client(stack.settings.url) as stranger:
        by_nobody = await stranger.get("/search-messages", params=params)
    by_service = await service.get("/search-messages", params=params)
    assert (await search(other_user, "heliotrope"))["hits"] == []
    assert (await search(other_user, "eliotrop"))["hits"] == []
    assert (by_nobody.status_code, by_service.status_code) == (401, 403)
    assert (await search(user, "heliotrope"))["hits"] != []


@pytest.mark.promise("search", red="archived conversations let in")
async def test_what_is_archived_is_found_only_when_asked_for(
    user: User, db: psycopg.Connection
) -> None:
    """Left out by default, there with `archived`, and in a conversation that is named."""
    kept, away = (make_conversation(db, user.id) for _ in range(2))
    for conversation in (kept, away):
        say(db, user, conversation, "quinces")
    await user.functions.patch(f"/conversations/{away}", json={"archived": True})
    usual = await search(user, "quinces")
    everywhere = await search(user, "quinces", archived=True)
    named = await search(user, "quinces", conversationId=away)
    assert [hit["conversationId"] for hit in usual["hits"]] == [kept]
    assert {hit["conversationId"] for hit in everywhere["hits"]} == {kept, away}
    assert [hit["conversationId"] for hit in named["hits"]] == [away]
    assert named["hits"][0]["archivedAt"] is not None


async def test_each_filter_narrows(user: User, db: psycopg.Connection) -> None:
    """Conversation, project, role, and the time from one moment on and before another."""
    project = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
    made = {"title": "In a project", "projectId": project}
    inside = (await user.functions.post("/conversations", json=made)).json()["conversation"]["id"]
    outside = make_conversation(db, user.id)
    say(db, user, inside, "tamarind one")
    say(db, user, outside, "tamarind two")
    db.execute(
        "insert into messages (conversation_id, user_id, role, content, generated_code)"
        " values (%s, %s, 'assistant', 'here it is', 'def tamarind(): pass')",
        (outside, user.id),
    )
    hits = {hit["createdAt"]: hit for hit in (await search(user, "tamarind"))["hits"]}
    moments = sorted(hits)

    async def seqs(**more: Any) -> set[tuple[str, int]]:
        found = (await search(user, "tamarind", **more))["hits"]
        return {(hit["conversationId"], hit["seq"]) for hit in found}

    assert await seqs() == {(inside, 1), (outside, 1), (outside, 2)}
    assert await seqs(conversationId=inside) == {(inside, 1)}
    assert await seqs(projectId=project) == {(inside, 1)}
    assert await seqs(role="assistant") == {(outside, 2)}
    assert await seqs(**{"from": moments[1]}) == {(outside, 1), (outside, 2)}
    assert await seqs(to=moments[1]) == {(inside, 1)}
    assert await seqs(**{"from": moments[1], "to": moments[2]}) == {(outside, 1)}


@pytest.mark.promise("search", red="pages not held to the first one's stretch of time")
async def test_pages_of_hits_are_whole_while_new_ones_are_written(
    user: User, db: psycopg.Connection
) -> None:
    """Each hit of the first moment once, best first, though better ones come in between."""
    conversation = make_conversation(db, user.id)
    say(db, user, conversation, *(f"gooseberry {'and more ' * (n % 7)}{n}" for n in range(50)))
    before = {hit["messageId"] for hit in (await search(user, "gooseberry", limit=200))["hits"]}
    page: dict[str, Any] = await search(user, "gooseberry", limit=7)
    walked = page["hits"]
    while page["nextCursor"]:
        say(db, user, conversation, "gooseberry", "gooseberry " + "and so on " * 60)
        page = await search(user, "gooseberry", limit=7, cursor=page["nextCursor"])
        walked += page["hits"]
    ids = [hit["messageId"] for hit in walked]
    ranks = [hit["rank"] for hit in walked]
    assert len(ids) == 50
    assert set(ids) == before
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.promise("search", red="pages not held to the first one's stretch of time")
async def test_pages_of_parts_of_words_are_whole_too(user: User, db: psycopg.Connection) -> None:
    """New words that hold the part change neither the order nor the set."""
    conversation = make_conversation(db, user.id)
    say(db, user, conversation, *(f"{'re' * (n % 2)}constructed{n} thing" for n in range(20)))
    page: dict[str, Any] = await search(user, "struct", limit=3)
    assert page["parts"] is True
    walked = [hit["seq"] for hit in page["hits"]]
    while page["nextCursor"]:
        say(db, user, conversation, f"structure{len(walked)} substructure", "infrastructure")
        page = await search(user, "struct", limit=3, cursor=page["nextCursor"])
        walked += [hit["seq"] for hit in page["hits"]]
    assert sorted(walked) == list(range(1, 21))


FORGERIES = [
    '<b>plum</b> <script>alert("plum")</script>',
    '{"start": 0, "end": 3} plum \\u0001 [[plum]]',
    "\x01\x02\x03 plum \x1b[31m",
    "𝔭𝔩𝔲𝔪 🎉🎉🎉 plum 👩‍👩‍👧 x̂ plum",
    "\u202eplum\u202c plum",
]


async def test_nothing_that_is_stored_can_pass_for_a_mark(
    user: User, db: psycopg.Connection
) -> None:
    """The snippet is the stored text, and only the marks beside it say what is a hit."""
    say(db, user, make_conversation(db, user.id), *FORGERIES)
    hits = (await search(user, "plum"))["hits"]
    assert {hit["snippet"]["text"] for hit in hits} == set(FORGERIES)
    # Mathematical letters read as letters; what isn't seen is in no mark.
    assert {text for hit in hits for text in marked(hit)} == {"plum", "𝔭𝔩𝔲𝔪"}


ODD = [
    "the", "a", "ab", "the of and", "a or b or c", '"the the" -of', "a" * 1000, "a " * 500,
    "a or " * 199 + "b", '"a b" ' * 160, "-a " * 300 + "b", "'; drop table x; --", "日", "$$x$$",
    "x:*", "(((((x", "\u202ea", "ﷺ" * 300, "' or 1=1", "zzzqx-" + "ქ" * 990,
]  # fmt: skip


async def test_an_odd_query_is_answered(user: User, db: psycopg.Connection) -> None:
    """With a page, whatever is in it: nothing in a query is an operator of the database's."""
    say(db, user, make_conversation(db, user.id), *["the cat sat a b of x 日本"] * 20)
    for q in ODD:
        answer = await user.functions.post("/search-messages", json={"q": q})
        assert answer.status_code == 200, (q, answer.text)
