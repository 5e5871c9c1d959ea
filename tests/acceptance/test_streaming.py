"""Streams as documented, and the service key's ways to follow and stop turns."""

import jsonschema_rs

from functions.app import app
from local.stack import Stack
from tests.support.sse import read_events
from tests.support.users import User, functions_client


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
