"""What the Data API's failures mean: each becomes the one error that callers get."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx
from pydantic import TypeAdapter

from shared.auth.caller import Caller
from shared.errors import AppError, StoreUnavailableError
from shared.persistence import Persistence
from shared.persistence.data_api import DataApi
from shared.persistence.http_pool import create_pool
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.heart import begin
from tests.support.in_memory_store import InMemoryStore
from tests.support.unit_settings import SECRET_KEY, URL, unit_settings

USER = Caller(user_id=uuid.uuid4(), token="user-token")
SERVICE = Caller(user_id=None, token=None)
FUNCTION = f"{URL}/rest/v1/rpc/a_function"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A store over the Data API that respx plays."""
    settings = unit_settings()
    async with create_pool(settings) as pool:
        yield Store(DataApi(settings, pool), timeout=0.2, places=StorePlaces(10))


async def code_of(store: Store, caller: Caller | None) -> str:
    """Call, and return the code of the error that it raises."""
    with pytest.raises(AppError) as caught:
        await store.call("a_function", {}, caller=caller)
    assert "internals" not in json.dumps(caught.value.body())
    return caught.value.code


@pytest.mark.parametrize(
    ("caller", "apikey", "authorization"),
    [
        (None, SECRET_KEY, None),
        (SERVICE, SECRET_KEY, None),
        (USER, "sb_publishable_unit", "Bearer user-token"),
    ],
    ids=["nobody", "service", "user"],
)
async def test_a_call_goes_out_with_the_callers_authority(
    store: Store, caller: Caller | None, apikey: str, authorization: str | None
) -> None:
    """A user's token with the public key, or the service's key; never one with the other."""
    with respx.mock:
        route = respx.post(FUNCTION).respond(json={"a": 1})
        assert await store.call("a_function", {"x": [1]}, caller=caller) == {"a": 1}
    sent = route.calls.last.request
    assert json.loads(sent.content) == {"x": [1]}
    assert sent.headers["apikey"] == apikey
    if authorization is None:
        assert sent.headers.get("authorization") in {None, f"Bearer {SECRET_KEY}"}
    else:
        assert sent.headers["authorization"] == authorization
        assert SECRET_KEY not in str(sent.headers)


@pytest.mark.parametrize("schema", ["public", "chat"])
async def test_a_call_names_the_schema_that_is_set(schema: str) -> None:
    """As the service and as a user: where the project has it under another name."""
    settings = unit_settings(database_schema=schema)
    async with create_pool(settings) as pool:
        store = Store(DataApi(settings, pool), timeout=0.2, places=StorePlaces(10))
        with respx.mock:
            route = respx.post(FUNCTION).respond(json={"a": 1})
            for caller in (None, USER):
                await store.call("a_function", {}, caller=caller)
    assert [call.request.headers["content-profile"] for call in route.calls] == [schema, schema]


@pytest.mark.promise("store away")
@pytest.mark.parametrize(
    ("status", "body", "as_user", "as_service"),
    [
        # Our functions' own words.
        (404, {"code": "PT404", "message": "Turn not found."}, "turn_not_found", ...),
        (400, {"code": "PT400", "message": "q has no word."}, "invalid_request", ...),
        (404, {"code": "PT404", "message": "Nothing of ours."}, "not_found", ...),
        # A sentence without our SQLSTATE, or an SQLSTATE without our sentence, is nobody's.
        (400, {"code": "P0001", "message": "Turn not found."}, "internal_error", ...),
        (422, {"code": "PT422", "message": "Turn not found."}, "store_unavailable", ...),
        # The request's values.
        (400, {"code": "22P02"}, "invalid_request", ...),
        (400, {"code": "22P05"}, "invalid_request", ...),
        (400, {"code": "22021"}, "invalid_request", ...),
        (400, {"code": "22003"}, "invalid_request", ...),
        (400, {"code": "23514"}, "invalid_request", ...),
        (500, {"code": "54001"}, "invalid_request", ...),
        # Who is asking.
        (409, {"code": "23503", "message": 'violates "conversations_user_id_fkey"'},
         "unauthorized", ...),
        (403, {"code": "42501"}, "forbidden", "internal_error"),
        (401, {"code": "PGRST301"}, "unauthorized", "store_unavailable"),
        (401, {"code": "PGRST303"}, "unauthorized", "store_unavailable"),
        (401, b"<html>internals</html>", "unauthorized", "store_unavailable"),
        (401, {"message": "Invalid API key"}, "unauthorized", "store_unavailable"),
        # Our own mistakes.
        (404, {"code": "PGRST202"}, "schema_behind", ...),
        (406, {"code": "PGRST106"}, "schema_not_served", ...),
        (404, {"code": "PGRST125"}, "internal_error", ...),
        (404, {"code": "42883"}, "internal_error", ...),
        (409, {"code": "23505"}, "internal_error", ...),
        (409, {"code": "23503", "message": "another_fkey"}, "internal_error", ...),
        (400, {"code": "22012"}, "internal_error", ...),
        (400, {"code": "P0002"}, "internal_error", ...),
        # The store is not well.
        (500, {"code": "40001"}, "store_unavailable", ...),
        (500, {"code": "40P01"}, "store_unavailable", ...),
        (500, {"code": "55P03"}, "store_unavailable", ...),
        (500, {"code": "57014"}, "store_unavailable", ...),
        (500, {"code": "57P01"}, "store_unavailable", ...),
        (503, {"code": "53300"}, "store_unavailable", ...),
        (503, {"code": "08006"}, "store_unavailable", ...),
        (500, {"code": "XX000"}, "store_unavailable", ...),
        (503, {"code": "PGRST000"}, "store_unavailable", ...),
        (503, {"code": "PGRST002"}, "store_unavailable", ...),
        (504, {"code": "PGRST003"}, "store_unavailable", ...),
        (429, {"message": "internals"}, "store_unavailable", ...),
        (500, {}, "store_unavailable", ...),
        (500, [], "store_unavailable", ...),
        # A status where the code would be, from something in between.
        (422, b"<html>internals</html>", "store_unavailable", ...),
        (429, b"<html>internals</html>", "store_unavailable", ...),
        (502, b"<html>internals</html>", "store_unavailable", ...),
        (503, b"", "store_unavailable", ...),
        (302, b"", "store_unavailable", ...),
        (200, b"<html>internals</html>", "store_unavailable", ...),
        (200, b'{"cut', "store_unavailable", ...),
        (200, b"", "store_unavailable", ...),
        (204, b"", "store_unavailable", ...),
        (200, b"null", "store_unavailable", ...),
        (200, b"[]", "store_unavailable", ...),
        (200, b'"text"', "store_unavailable", ...),
        (200, b"5", "store_unavailable", ...),
    ],
)  # fmt: skip
async def test_every_failure_has_its_meaning(
    store: Store, status: int, body: Any, as_user: str, as_service: Any
) -> None:
    """By what we raised, then SQLSTATE, then constraint; for the service, where it differs."""
    if isinstance(body, dict):
        body = {"message": "internals", "details": "internals", "hint": "internals", **body}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with respx.mock:
        respx.post(FUNCTION).respond(status, content=content)
        seen = (await code_of(store, USER), await code_of(store, None))
    assert seen == (as_user, as_user if as_service is ... else as_service)


async def test_our_functions_own_message_is_shown(store: Store) -> None:
    """It was written to be."""
    raised = {"code": "PT409", "message": "Held."}
    with respx.mock:
        respx.post(FUNCTION).respond(409, json=raised)
        with pytest.raises(AppError, match=r"^Held\.$"):
            await store.call("a_function", {}, caller=USER)


@pytest.mark.parametrize(
    ("code", "message", "seconds"),
    [
        ("PT429", "Too many turns. Try again in 37 seconds.", "37"),
        ("PT409", "The import is gone.", None),
        ("PT409", "A legal hold.", None),
    ],
)
async def test_when_to_ask_again_is_what_the_function_says_or_what_the_error_does(
    store: Store, code: str, message: str, seconds: str | None
) -> None:
    """A function that says nothing of it takes nothing away from a 503."""
    with respx.mock:
        respx.post(FUNCTION).respond(400, json={"code": code, "message": message})
        with pytest.raises(AppError) as caught:
            await store.call("a_function", {}, caller=USER)
    assert caught.value.headers().get("Retry-After") == seconds


@pytest.mark.promise("deadlines")
@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut"),
        httpx.PoolTimeout("full"),
        httpx.InvalidURL("odd"),
        OSError("no route"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_network_failure_is_tried_once_and_is_a_503(
    store: Store, failure: Exception
) -> None:
    """Whether it ran, nobody knows: only the key makes trying again harmless, so callers do."""
    with respx.mock:
        route = respx.post(FUNCTION).mock(side_effect=failure)
        assert await code_of(store, USER) == "store_unavailable"
    assert route.call_count == 1


class StandingRoad:
    """A road on which nothing comes to its end, or where every call finds the store away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.running = self.most = 0

    async def call(self, *_: Any, **__: Any) -> Any:
        """Wait for ever, or fail at once."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.is_away:
                raise StoreUnavailableError
            await asyncio.Event().wait()
        finally:
            self.running -= 1


@pytest.mark.promise("deadlines", red="no `timeout` around the call")
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_call_ends_at_its_deadline_with_its_waiting_and_its_retries(
    *, is_away: bool
) -> None:
    """Calls of one user are made one after the other, where there is one place."""
    road: Any = StandingRoad(is_away=is_away)
    store = Store(road, timeout=0.3, places=StorePlaces(4))
    calls = [store.call("f", {"user_id": "u"}, caller=None, attempts=1_000) for _ in range(3)]
    failures = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert [type(failure) for failure in failures] == [StoreUnavailableError] * 3
    assert (road.most, road.running) == (1, 0)


@pytest.mark.promise("deadlines", red="`ATTEMPTS = 1`")
@pytest.mark.promise("store away", red="`ATTEMPTS = 1`")
async def test_a_begin_whose_answer_is_lost_is_asked_again_as_it_was() -> None:
    """Nobody notices; how a reply is sent again, the worker's tests show."""
    record = await begin(InMemoryStore())
    settings = unit_settings()
    async with create_pool(settings) as pool:
        store = Store(DataApi(settings, pool), timeout=10, places=StorePlaces(10))
        answer = httpx.Response(200, json=record.model_dump(mode="json"))
        with respx.mock:
            route = respx.post(f"{URL}/rest/v1/rpc/begin_turn")
            route.mock(side_effect=[httpx.ReadError("cut"), answer])
            persistence: Any = Persistence(store)
            assert (await begin(persistence)).turn == record.turn
    first, again = (call.request.content for call in route.calls)
    assert first == again


@pytest.mark.promise("whole pages", red="Python's own limit of digits")
async def test_a_number_of_any_length_can_be_read(store: Store) -> None:
    """What jsonb holds is written out in all its digits: for Python, 4,300 were too many."""
    digits = "1" + 131_071 * "0"
    with respx.mock:
        respx.post(FUNCTION).respond(text=f'{{"n": {digits}}}', content_type="application/json")
        answer = await store.call("a_function", {}, caller=USER)
    assert answer == {"n": 10**131_071}
    assert json.loads(TypeAdapter(dict[str, Any]).dump_json(answer)) == answer


async def test_an_answer_of_another_shape_is_a_503_not_a_broken_row(store: Store) -> None:
    """What comes back is checked against the model before anybody sees it."""
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/get_conversation").respond(json={"id": "x"})
        with pytest.raises(StoreUnavailableError):
            await Persistence(store).get_conversation(uuid.uuid4(), uuid.uuid4(), caller=USER)
