"""conversation-analytics: from turns that were really run to the figures of them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from local.stack import Stack
from shared.ai.protocol import Usage
from tests.support.bundle import bundle, settings_for
from tests.support.engines import FailingEngine, ScriptedEngine
from tests.support.users import User, functions_client

PATH = "/conversation-analytics"
USAGE = Usage(input_tokens=1000, output_tokens=200, requests=2)


def around_now(**more: Any) -> dict[str, Any]:
    """Return a range of some hours, whole ones, with now in it."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ends = [hour + timedelta(hours=hours) for hours in (-2, 3)]
    return {"from": ends[0].isoformat(), "to": ends[1].isoformat(), "bucket": "hour", **more}


async def totals(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    """Ask for the figures of around now."""
    answer = await client.post(PATH, json=around_now(**more))
    assert answer.status_code == 200, answer.text
    figures: dict[str, Any] = answer.json()["totals"]
    return figures


async def test_turns_are_counted_with_their_tokens_and_their_price(
    stack: Stack, user: User
) -> None:
    """Two good ones, one failed, three repeated requests: all of it shows, in all and by hour."""
    settings = settings_for(stack, model_prices='{"scripted": {"input": 1.25, "output": 10}}')
    async with bundle(settings, token=user.token, engine=ScriptedEngine(usage=USAGE)) as client:
        for key in ("one", "two", "one", "one", "two"):
            sent = {"request": "Hi"}
            await client.post("/mega-mind", json=sent, headers={"Idempotency-Key": key})
    async with bundle(settings, token=user.token, engine=FailingEngine()) as client:
        await client.post("/mega-mind", json={"request": "Fail"})
        answer = (await client.post(PATH, json=around_now())).json()
    figures = answer["totals"]
    assert {name: figures[name] for name in ("turns", "completed", "failed", "successRate")} == {
        "turns": 3, "completed": 2, "failed": 1, "successRate": 0.6667,
    }  # fmt: skip
    assert figures["usage"] == {
        "turns": 2, "inputTokens": 2000, "outputTokens": 400, "cost": 0.0065,
    }  # fmt: skip
    assert answer["models"][0]["name"] == "scripted"
    assert answer["intents"] == [{"name": "explain", "turns": 2}]
    assert figures["persistence"]["replaysDeduplicated"] == 3
    assert figures["persistence"]["timeToFirstPersist"]["measured"] == 3
    assert (
        0 < figures["persistence"]["timeToFirstPersist"]["median"] < figures["duration"]["p95"] + 60
    )
    assert len(answer["buckets"]) == 5
    assert sum(bucket["turns"] for bucket in answer["buckets"]) == 3


@pytest.mark.promise("analytics")
async def test_nobody_sees_anothers_figures(
    stack: Stack, user: User, other_user: User, service: httpx.AsyncClient
) -> None:
    """The owner and the service do; another user may not even ask, and has none of them."""
    await user.send("Hello")
    seen = [await totals(client, userId=user.id) for client in (user.functions, service)]
    named = around_now(userId=user.id)
    async with functions_client(stack.settings.url) as stranger:
        asked = ((other_user.functions, named), (stranger, named), (service, around_now()))
        refused = [(await client.post(PATH, json=body)).status_code for client, body in asked]
    assert [figures["turns"] for figures in seen] == [1, 1]
    assert refused == [403, 401, 400]
    assert (await totals(other_user.functions))["turns"] == 0


async def test_a_query_gives_the_same_as_a_body(user: User) -> None:
    """With a project, a zone and buckets, and its range in any offset."""
    project = str(uuid.uuid4())
    await user.send("Hello", projectId=project)
    await user.send("Beside it")
    asked = around_now(projectId=project, timeZone="Asia/Kolkata")
    by_body = await user.functions.post(PATH, json=asked)
    by_query = await user.functions.get(PATH, params=asked)
    assert by_body.status_code == by_query.status_code == 200
    assert by_query.json() == by_body.json()
    assert by_body.json()["totals"]["turns"] == 1
    assert by_body.json()["buckets"][0]["start"][14:16] == "30"


REFUSED: dict[str, dict[str, Any]] = {
    "a moment without an offset": {"from": "2026-11-01T00:00:00"},
    "a moment as a number": {"from": 1793491200},
    "a moment as a number in text": {"from": "1793491200"},
    "no moment": {"from": "yesterday"},
    "a range that runs back": {"to": "2026-10-01T00:00:00Z"},
    "more than 400 buckets": {"to": "2028-11-01T00:00:00Z"},
    "another bucket": {"bucket": "minute"},
    "an abbreviation": {"timeZone": "PST"},
    "a zone of nowhere": {"timeZone": "Europe/Nowhere"},
    "a zone with a NUL": {"timeZone": "Europe/\u0000"},
    "a long zone": {"timeZone": "E" * 65},
    "an unknown field": {"groupBy": "user"},
    "no end": {"to": None},
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_makes_no_sense_is_refused_in_words(user: User, name: str) -> None:
    """400 with the usual body, over both roads."""
    asked = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z", **REFUSED[name]}
    answers = [
        await user.functions.post(PATH, json=asked),
        await user.functions.get(PATH, params={k: v for k, v in asked.items() if v is not None}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
