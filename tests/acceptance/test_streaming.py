"""Streams: what a client sees while the AI works, and what happens when it goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jsonschema_rs
import psycopg

from functions.app import app
from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine, TypingEngine
from tests.support.server import served_bundle
from tests.support.sse import Event, read_events, text_of, until
from tests.support.users import User, functions_client, sign_up

PIECES = ["One, ", "two, ", "três, ", "四, ", "five 🎉."]
WHOLE = "".join(PIECES)


@asynccontextmanager
async def client_of(url: str, user: User) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {user.token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        yield client


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, *, key: str | None = None, **body: object
) -> AsyncIterator[AsyncIterator[Event]]:
    headers = {"accept": "text/event-stream"} | ({"idempotency-key": key} if key else {})
    async with client.stream("POST", "/mega-mind", json=body, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read_events(answer)


async def test_a_stream_is_what_the_document_says(user: User) -> None:
    """Each event is one of those, with all of its fields."""
    document = app.openapi()
    answers = document["paths"]["/functions/v1/mega-mind"]["post"]["responses"]
    described = answers["200"]["content"]["text/event-stream"]["itemSchema"]["oneOf"]
    schemas = {one["title"]: one["properties"]["data"]["contentSchema"] for one in described}
    async with streaming(user.functions, request="Write a page") as stream:
        events = [event async for event in stream]
    for event in events:
        schema = {**schemas[event.name], "components": document["components"]}
        assert [*jsonschema_rs.validator_for(schema).iter_errors(event.data)] == [], event


async def test_a_stream_tells_of_the_turn_from_accept_to_done(stack: Stack, user: User) -> None:
    """accepted, statuses, deltas that join without a gap, the stored message, done."""
    engine = TypingEngine(PIECES)
    engine.allow(6)
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        client_of(url, user) as client,
        streaming(client, request="Count") as stream,
    ):
        events = [event async for event in stream]
    loaded = (await user.load(events[0].data["conversationId"])).json()["messages"]
    names = [event.name for event in events]
    assert names[0] == "accepted"
    assert names[-2:] == ["message", "done"]
    assert text_of(events) == WHOLE
    assert events[0].data["userMessage"] == loaded[0]
    assert events[-2].data == loaded[1]
    assert events[-1].data == {
        "success": True,
        "conversationId": loaded[0]["conversation_id"],
        "turnId": events[0].data["turnId"],
        "replayed": False,
    }
    statuses = [event.data["status"] for event in events if event.name == "status"]
    assert statuses[-1] == "idle"


async def test_a_client_that_comes_back_sees_the_same_text(stack: Stack, user: User) -> None:
    """What is loaded and the rest of the stream join to the stored reply."""
    engine = TypingEngine(PIECES)
    settings = settings_for(stack, heartbeat_seconds=0.05)
    async with served_bundle(settings, engine=engine) as url, client_of(url, user) as client:
        async with streaming(client, request="Count") as stream:
            engine.allow(2)
            seen = await until(stream, "delta")
        turn_id, conversation_id = seen[0].data["turnId"], seen[0].data["conversationId"]
        draft = await draft_of(client, conversation_id, at_least=len(PIECES[0] + PIECES[1]))
        engine.allow(4)
        params = {"turnId": turn_id, "offset": len(draft)}
        async with client.stream("GET", "/mega-mind", params=params) as answer:
            rest = [event async for event in read_events(answer)]
        loaded = (await user.load(conversation_id)).json()
    assert draft + joined(rest) == loaded["messages"][-1]["content"] == WHOLE
    assert rest[-1].name == "done"
    assert loaded["openTurn"] is None
    assert engine.runs == 1


def joined(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "delta")


async def draft_of(client: httpx.AsyncClient, conversation_id: str, *, at_least: int) -> str:
    """Load until the open turn's draft is so long."""
    while True:
        query = {"conversationId": conversation_id}
        turn = (await client.get("/load-conversation", params=query)).json()["openTurn"]
        assert turn["offset"] == len(turn["draft"])
        if turn["offset"] >= at_least:
            return str(turn["draft"])
        await asyncio.sleep(0.02)


async def test_with_the_service_key_a_turn_is_followed_and_stopped_for_its_user(
    stack: Stack, user: User, other_user: User
) -> None:
    """Who that is has to be said, and is not taken from the turn; a user names nobody else."""
    turn = (await user.send("Hello")).json()["turnId"]
    key = stack.settings.environment()["SUPABASE_SECRET_KEY"]
    seen = []
    async with functions_client(stack.settings.url, apikey=key) as service:
        for client, whose in (
            (service, {}),
            (service, {"userId": user.id}),
            (service, {"userId": other_user.id}),
            (user.functions, {"userId": other_user.id}),
        ):
            followed = await client.get("/mega-mind", params={"turnId": turn, **whose})
            stopped = await client.post("/cancel-turn", json={"turnId": turn, **whose})
            seen.append((followed.status_code, stopped.status_code))
    assert seen == [(400, 400), (200, 200), (404, 404), (403, 403)]


async def test_the_sweep_settles_what_nobody_asks_for(own_stack: Stack) -> None:
    """sweep-turns is for the service key alone, and settles every lost turn."""
    user = await sign_up(own_stack)
    turn = (await user.send("Hello")).json()
    with psycopg.connect(own_stack.settings.db_url, autocommit=True) as db:
        plant_lost_turn(db, user, turn["conversationId"])
    refused = await user.functions.post("/sweep-turns")
    key = own_stack.settings.environment()["SUPABASE_SECRET_KEY"]
    async with functions_client(own_stack.settings.url, apikey=key) as service:
        swept = [(await service.post("/sweep-turns")).json() for _ in range(2)]
    loaded = (await user.load(turn["conversationId"])).json()
    await user.functions.aclose()
    assert refused.status_code == 403
    assert swept == [{"settled": 1}, {"settled": 0}]
    assert loaded["messages"][-1]["content"] == "Half an ans"


def plant_lost_turn(db: psycopg.Connection, user: User, conversation_id: str) -> None:
    """Leave a turn as a killed worker does, its lease over."""
    db.execute(
        "select begin_turn(%s, 'lost', 'hash', 'And then?', gen_random_uuid(), %s)",
        (user.id, conversation_id),
    )
    db.execute(
        "update turns set draft = 'Half an ans', lease_expires_at = now() - interval '1 second'"
        " where user_id = %s and status = 'running'",
        (user.id,),
    )


async def test_a_user_can_begin_only_so_many_turns(stack: Stack, user: User) -> None:
    """The third in a minute is 429 with Retry-After; the second one's key still replays."""
    settings = settings_for(stack, turns_per_minute=2)
    answers = []
    async with bundle(settings, token=user.token, engine=ScriptedEngine()) as client:
        for key in ("a", "b", "c", "b"):
            headers = {"idempotency-key": key}
            answers.append(await client.post("/mega-mind", json={"request": key}, headers=headers))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert answers[2].json()["code"] == "too_many_turns"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert answers[3].json()["replayed"] is True
