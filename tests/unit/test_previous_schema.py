"""A store that doesn't know today's functions is asked in the previous release's words."""

import json
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from shared.errors import SchemaBehindError
from shared.models.turns import TurnExtension
from shared.persistence import Persistence
from shared.persistence.clients import Clients, create_pool
from shared.persistence.rpc import Store
from tests.support.unit_settings import URL, unit_settings

RPC = f"{URL}/rest/v1/rpc"
MISSING = {"code": "PGRST202", "message": "Could not find the function", "details": None}


@pytest.fixture
async def persistence() -> AsyncIterator[Persistence]:
    """The store over the Data API that respx plays."""
    settings = unit_settings()
    async with create_pool(settings) as pool:
        yield Persistence(Store(Clients(settings, pool), timeout=1))


def a_beat() -> TurnExtension:
    """A turn's heartbeat."""
    return TurnExtension(turn_id=uuid.uuid4(), attempt=2, draft_offset=5, draft_tail="more")


async def test_heartbeats_go_out_one_by_one_and_a_failed_one_is_left_out(
    persistence: Persistence,
) -> None:
    """As a turn that somebody holds is: it waits for the next beat, and no other waits for it."""
    beats = [a_beat(), a_beat(), a_beat()]

    def answer(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        if sent["turn_id"] == str(beats[1].turn_id):
            return httpx.Response(503, json={"code": "57P01"})
        return httpx.Response(200, json={"is_ours": True, "cancel_requested": False})

    with respx.mock:
        respx.post(f"{RPC}/extend_turns").respond(404, json=MISSING)
        older = respx.post(f"{RPC}/extend_turn").mock(side_effect=answer)
        heard = await persistence.extend_turns(beats, lease_seconds=30)
    assert [turn.turn_id for turn in heard.turns] == [beats[0].turn_id, beats[2].turn_id]
    assert {frozenset(json.loads(call.request.content)) for call in older.calls} == {
        frozenset({"turn_id", "attempt", "draft_offset", "draft_tail", "lease_seconds"})
    }


async def test_what_is_not_stored_is_not_counted(persistence: Persistence) -> None:
    """Such turns had no limit; they go on without one until the schema is there."""
    with respx.mock:
        respx.post(f"{RPC}/count_unstored_turn").respond(404, json=MISSING)
        counted = await persistence.count_unstored_turn(
            user_id=uuid.uuid4(), turns_per_minute=1, turns_per_day=None
        )
    assert counted.is_counted is False


async def test_what_the_previous_schema_could_not_do_says_what_to_do(
    persistence: Persistence,
) -> None:
    """Asked once: the answer would be the same."""
    with respx.mock:
        route = respx.post(f"{RPC}/write_summary").respond(404, json=MISSING)
        with pytest.raises(SchemaBehindError, match="migrations"):
            await persistence.write_summary(
                uuid.uuid4(), message_id=uuid.uuid4(), covers_to=1, content="", metadata={}
            )
    assert route.call_count == 1
