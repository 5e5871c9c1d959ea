"""What every road to the SQL functions does alike: values in and out, and what failures mean."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from local.stack import Stack
from shared.auth.caller import Caller
from shared.errors import (
    AppError,
    ConversationNotFoundError,
    ForbiddenError,
    InvalidRequestError,
    SchemaBehindError,
    StoreUnavailableError,
    UnauthorizedError,
)
from shared.persistence import Persistence
from tests.support.roads import DIRECT, POOLED, ROADS, store_by
from tests.support.sql_calls import make_conversation
from tests.support.users import User, make_user

NUMBER = 10**400 + 1


@dataclass(frozen=True)
class Way:
    """A road, and a user who takes it."""

    store: Persistence
    user: User

    @property
    def user_id(self) -> UUID:
        """Who that is."""
        return UUID(self.user.id)

    @property
    def caller(self) -> Caller:
        """The user as a caller."""
        return Caller(self.user_id, self.user.token)

    async def call(self, function: str, caller: Caller | None = None, **arguments: Any) -> Any:
        """Call a function by its bare name."""
        return await self.store._store.call(function, arguments, caller=caller)


@pytest.fixture(params=ROADS)
async def way(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Way]:
    """Each road in turn."""
    user = await make_user(stack)
    async with store_by(request.param, stack) as store:
        yield Way(store, user)
    await user.functions.aclose()


async def test_a_value_comes_back_as_it_was_sent(way: Way) -> None:
    """Numbers, text of any script, quotes and escapes of every grammar."""
    metadata = {
        "number": 2**53 - 1,
        "float": 0.1,
        "small": 1e-7,
        "bool": True,
        "none": None,
        "list": [1, "1", {}, []],
        "text": "é🎉 'single' \"double\" \\u0000 \\' $1 %s %% {} ; -- \n\t\u2028\x7f",
        "%s": "name",
    }
    title = "'; drop table conversations; -- \\' %s $$ 四"
    made = await way.store.create_conversation(
        way.user_id, caller=way.caller, title=title, project_id=None, metadata=metadata
    )
    found = await way.store.get_conversation(way.user_id, made.id, caller=way.caller)
    assert (found.title, found.metadata) == (title, metadata)
    assert made == found


@pytest.mark.parametrize("way", [DIRECT, POOLED], indirect=True)
async def test_a_number_keeps_all_its_digits(way: Way) -> None:
    """As it does over PostgREST; the local Data API is no PostgREST, and rounds them."""
    made = await way.store.create_conversation(
        way.user_id, caller=way.caller, title="T", project_id=None, metadata={"number": NUMBER}
    )
    assert made.metadata == {"number": NUMBER}


@pytest.mark.parametrize(
    "changed",
    [
        {"title": "\x00"},
        {"title": "\ud83d"},
        {"metadata": {"text": "\x00"}},
        {"metadata": {"text": "\ud83d"}},
        {"metadata": {"\x00": 1}},
        {"user_id": "not a uuid"},
        {"project_id": "not a uuid"},
    ],
    ids=repr,
)
async def test_what_cannot_be_stored_is_refused(way: Way, changed: dict[str, Any]) -> None:
    """As a request that is wrong, by each road, before and in Postgres."""
    arguments: dict[str, Any] = {"user_id": way.user.id, "title": "T", "metadata": {}}
    with pytest.raises(InvalidRequestError):
        await way.call("create_conversation", way.caller, **{**arguments, **changed})


async def test_failures_have_one_meaning(way: Way) -> None:
    """A missing row, another's name, rights that one lacks, an account that is gone."""
    stranger = uuid4()
    unlimited = {"turns_per_minute": None, "turns_per_day": None, "tokens_per_day": None}
    for error, calling in (
        (
            ConversationNotFoundError,
            way.call(
                "get_conversation", way.caller, user_id=way.user.id, conversation_id=str(uuid4())
            ),
        ),
        (
            ForbiddenError,
            way.call(
                "get_conversation", way.caller, user_id=str(stranger), conversation_id=str(uuid4())
            ),
        ),
        (ForbiddenError, way.call("list_expired_turns", way.caller)),
        (
            UnauthorizedError,
            way.call("count_unstored_turn", None, user_id=str(stranger), **unlimited),
        ),
        (SchemaBehindError, way.call("no_such_function", None)),
    ):
        with pytest.raises(AppError) as caught:
            await calling
        assert type(caught.value) is error, error


@pytest.mark.promise("bounded calls")
async def test_a_lock_is_waited_for_two_seconds(
    way: Way, stack: Stack, db: psycopg.Connection
) -> None:
    """Then the store is unavailable, and the call has changed nothing."""
    conversation = make_conversation(db, way.user.id)
    with psycopg.connect(stack.settings.db_url) as session:
        session.execute("select from conversations where id = %s for update", (conversation,))
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await way.call(
                "delete_conversation",
                way.caller,
                user_id=way.user.id,
                conversation_id=conversation,
            )
        waited = time.monotonic() - began
        session.rollback()
    assert waited < 20  # half a minute is the deadline here
    await way.call("get_conversation", None, user_id=way.user.id, conversation_id=conversation)


async def test_calls_at_once_have_answers_of_their_own(way: Way) -> None:
    """However they share connections."""
    titles = [f"Conversation {number}" for number in range(40)]
    made = await asyncio.gather(
        *(
            way.store.create_conversation(
                way.user_id, caller=way.caller, title=title, project_id=None, metadata={}
            )
            for title in titles
        )
    )
    assert [row.title for row in made] == titles
