"""Streams: what a client sees while the AI works, and what happens when it goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import FailingEngine, ScriptedEngine, TypingEngine
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


@pytest.mark.promise("streams", red="the sentence is sent from the offset of what was written")
async def test_the_sentence_of_a_failed_reply_is_no_part_of_its_text(
    stack: Stack, user: User
) -> None:
    """Not where nothing but white space was written before, either."""
    async with (
        served_bundle(settings_for(stack), engine=FailingEngine(written="\n")) as url,
        client_of(url, user) as client,
        streaming(client, request="Fail") as stream,
    ):
        events = [event async for event in stream]
    assert [event.data["text"] for event in events if event.name == "delta"] == ["\n"]
    assert events[-2].data["content"] == "The AI provider could not answer."


@pytest.mark.promise("forwarders")
async def test_the_first_event_comes_before_the_engine_has_written(
    stack: Stack, user: User
) -> None:
    """`accepted` is there while the engine has not been allowed a single piece."""
    engine = TypingEngine(PIECES)
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        client_of(url, user) as client,
        streaming(client, request="Count") as stream,
    ):
        first = await anext(stream)
        assert first.name == "accepted"
        engine.allow(6)
        await until(stream, "done")


@pytest.mark.promise("client gone")
async def test_a_turn_whose_client_goes_away_is_stored_whole(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The connection is cut after the first piece; the reply is stored to its last."""
    engine = TypingEngine(PIECES)
    async with served_bundle(settings_for(stack), engine=engine) as url:
        async with client_of(url, user) as client, streaming(client, request="Count") as stream:
            engine.allow(1)
            seen = await until(stream, "delta")
        engine.allow(5)
        turn_id = seen[0].data["turnId"]
        async with client_of(url, user) as client:
            answer = await client.get("/mega-mind", params={"turnId": turn_id})
    stored = db.execute(
        "select content from messages where turn_id = %s and role = 'assistant'", (turn_id,)
    ).fetchall()
    assert answer.status_code == 200
    assert stored == [(WHOLE,)]


@pytest.mark.parametrize("way", ["load", "follow", "same key"])
async def test_a_client_that_comes_back_sees_the_same_text(
    stack: Stack, user: User, way: str
) -> None:
    """By each of the three ways the text so far and the rest join to the stored reply."""
    engine = TypingEngine(PIECES)
    settings = settings_for(stack, heartbeat_seconds=0.05)
    async with served_bundle(settings, engine=engine) as url, client_of(url, user) as client:
        async with streaming(client, key="back", request="Count") as stream:
            engine.allow(2)
            seen = await until(stream, "delta")
            while len(text_of(seen)) < len(PIECES[0] + PIECES[1]):
                seen += await until(stream, "delta")
        turn_id, conversation_id = seen[0].data["turnId"], seen[0].data["conversationId"]
        if way == "load":
            draft = await draft_of(client, conversation_id, at_least=len(text_of(seen)))
            engine.allow(4)
            params = {"turnId": turn_id, "offset": len(draft)}
            async with client.stream("GET", "/mega-mind", params=params) as answer:
                rest = [event async for event in read_events(answer)]
            text = draft + joined(rest)
        elif way == "follow":
            engine.allow(4)
            headers = {"last-event-id": seen[-1].id}
            params = {"turnId": turn_id}
            async with client.stream("GET", "/mega-mind", params=params, headers=headers) as answer:
                rest = [event async for event in read_events(answer)]
            text = text_of(seen) + joined(rest)
        else:
            engine.allow(4)
            async with streaming(client, key="back", request="Count") as stream:
                rest = [event async for event in stream]
            text = text_of(rest)
        loaded = (await user.load(conversation_id)).json()
    assert text == WHOLE
    assert rest[-1].name == "done"
    assert loaded["messages"][-1]["content"] == WHOLE
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


async def test_another_process_can_follow_a_turn(stack: Stack, user: User) -> None:
    """A second bundle, which does not run the turn, streams it from what is stored."""
    engine = TypingEngine(PIECES)
    settings = settings_for(stack, heartbeat_seconds=0.05)
    async with (
        served_bundle(settings, engine=engine) as here,
        served_bundle(settings, engine=FailingEngine()) as there,
        client_of(here, user) as client,
        client_of(there, user) as elsewhere,
        streaming(client, key="shared", request="Count") as stream,
    ):
        engine.allow(3)
        await until(stream, "delta")
        async with streaming(elsewhere, key="shared", request="Count") as other:
            first = await until(other, "delta")
            engine.allow(3)
            rest = await until(other, "done")
    assert text_of(first + rest) == WHOLE
    assert rest[-1].data["replayed"] is True


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


async def test_a_stopped_turn_keeps_its_partial_text(stack: Stack, user: User) -> None:
    """cancel-turn ends it; the reply is what was written, the turn is cancelled for good."""
    engine = TypingEngine(PIECES)
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        client_of(url, user) as client,
        streaming(client, key="stop", request="Count") as stream,
    ):
        engine.allow(1)
        seen = await until(stream, "delta")
        body = {"turnId": seen[0].data["turnId"]}
        stopped = await client.post("/cancel-turn", json=body)
        end = await until(stream, "done")
        again = await client.post("/cancel-turn", json=body)
        retried = await client.post(
            "/mega-mind", json={"request": "Count"}, headers={"idempotency-key": "stop"}
        )
    assert stopped.status_code == 200
    assert stopped.json()["status"] == "cancelled"
    assert stopped.json() == again.json()
    assert end[-2].data["content"] == PIECES[0]
    assert end[-2].data["metadata"]["error"]["type"] == "cancelled"
    assert retried.json()["replayed"] is True
    assert engine.runs == 1


async def test_loading_settles_a_turn_that_lost_its_worker(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """With its lease over and a draft stored, the draft becomes the reply."""
    turn = (await user.send("Hello")).json()
    plant_lost_turn(db, user, turn["conversationId"])
    loaded = (await user.load(turn["conversationId"])).json()
    assert loaded["openTurn"] is None
    assert loaded["messages"][-1]["content"] == "Half an ans"
    assert loaded["messages"][-1]["metadata"]["error"]["type"] == "interrupted"


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


@pytest.mark.promise("limits", red="runs that store nothing not counted")
async def test_runs_that_store_nothing_take_up_room_as_well(stack: Stack, user: User) -> None:
    """The AI works on them as on any turn: a full process refuses them, and is full of them."""
    engine = ScriptedEngine(hold=True)
    settings = settings_for(stack, max_concurrent_turns=1)
    unstored = {"request": "one", "persistMessages": False}
    async with bundle(settings, token=user.token, engine=engine) as client:
        first = asyncio.create_task(client.post("/mega-mind", json=unstored))
        await engine.started.wait()
        async with asyncio.timeout(10):
            refused = [
                await client.post("/mega-mind", json=body)
                for body in (unstored, {"request": "two"})
            ]
        engine.release.set()
        answers = [await first, await client.post("/mega-mind", json=unstored)]
    assert [answer.status_code for answer in refused] == [503, 503]
    assert refused[0].json()["code"] == "unavailable"
    assert [answer.status_code for answer in answers] == [200, 200]
    assert engine.requests == ["one", "one"]
