"""One key, one effect: however often a request is sent, at once or again, it happens once."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import FailingEngine, ScriptedEngine
from tests.support.users import User

CALLERS = 24


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


def outcome_of(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer without the word that it is a repetition."""
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if name != "replayed"}


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


@pytest.mark.promise("one key, one effect")
async def test_24_callers_in_a_free_race_agree_or_have_to_wait(
    user: User, db: psycopg.Connection
) -> None:
    """On the running bundle, with nobody held back; asking again ends with the one reply."""
    await user.functions.get("/conversations")
    answers = await asyncio.gather(*(user.send("Race", key="k") for _ in range(CALLERS)))
    good = [answer for answer in answers if answer.status_code == 200]
    waits = [answer for answer in answers if answer.status_code == 409]
    final = await user.send("Race", key="k")
    assert len(good) + len(waits) == CALLERS
    assert [answer.json()["replayed"] for answer in good].count(False) == 1
    assert {answer.json()["code"] for answer in waits} <= {"turn_in_progress"}
    assert final.json()["replayed"] is True
    assert all(outcome_of(answer) == outcome_of(final) for answer in good)
    assert rows_of(db, user) == (1, ["user", "assistant"])


async def test_a_replay_gives_what_is_stored(user: User) -> None:
    """The rows are those that load-conversation shows, also after the conversation went on."""
    first = await user.send("One", key="k")
    await user.send("Two", conversationId=first.json()["conversationId"])
    replayed = await user.send("One", key="k")
    loaded = (await user.load(first.json()["conversationId"])).json()
    assert outcome_of(replayed) == outcome_of(first)
    assert loaded["messages"][:2] == [replayed.json()["userMessage"], replayed.json()["message"]]
    assert loaded["lastSeq"] == 4


async def test_repeating_a_failed_turn_replays_the_failure(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """A failure is a reply too: under its key it stays, under a new one the AI is asked again."""
    async with bundle(settings_for(stack), token=user.token, engine=FailingEngine()) as client:
        failed = await ask(client, "k")
    engine = ScriptedEngine("Now.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        replayed = await ask(client, "k")
        assert engine.requests == []
        another = await ask(client, "another")
    assert (failed.json()["success"], replayed.json()["replayed"]) == (False, True)
    assert outcome_of(replayed) == outcome_of(failed)
    assert another.json()["success"] is True
    assert rows_of(db, user) == (2, ["user", "assistant", "user", "assistant"])


async def test_without_a_key_each_request_is_its_own(user: User, db: psycopg.Connection) -> None:
    """Nothing is guessed from the text: twice the same words are two turns."""
    first, second = await user.send("Twice"), await user.send("Twice")
    assert first.json()["turnId"] != second.json()["turnId"]
    assert rows_of(db, user)[0] == 2
