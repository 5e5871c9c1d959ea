"""Streams as documented, and the service key's ways to follow, stop and settle turns."""

import jsonschema_rs
import psycopg

from functions.app import app
from local.stack import Stack
from tests.support.sse import read_events
from tests.support.users import User, functions_client, sign_up


async def test_a_stream_is_what_the_document_says(user: User) -> None:
    """Each event is one of those, with all of its fields."""
    document = app.openapi()
    answers = document["paths"]["/functions/v1/mega-mind"]["post"]["responses"]
    described = answers["200"]["content"]["text/event-stream"]["itemSchema"]["oneOf"]
    schemas = {one["title"]: one["properties"]["data"]["contentSchema"] for one in described}
    body, headers = {"request": "Write a page"}, {"accept": "text/event-stream"}
    async with user.functions.stream("POST", "/mega-mind", json=body, headers=headers) as answer:
        events = [event async for event in read_events(answer)]
    for event in events:
        schema = {**schemas[event.name], "components": document["components"]}
        assert [*jsonschema_rs.validator_for(schema).iter_errors(event.data)] == [], event


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
