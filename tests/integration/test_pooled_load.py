"""Many users at once through a pooler's connections: a few in transaction mode, or one a session.

While it goes on the pooler's connections are ended once, as by a failover behind it.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import stamina

from local.stack import Stack
from shared.auth.caller import Caller
from shared.errors import StoreUnavailableError
from shared.models.conversations import LoadConversationRequest
from shared.persistence import Persistence
from shared.persistence.http_pool import create_pool
from shared.persistence.roads import create_road
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.bundle import settings_for
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer, server_processes
from tests.support.users import User, make_user
from tests.support.waiting import until

TURNS = int(os.environ.get("POOLED_TURNS", "500"))
CALLERS = 16
USERS = 4
# The pooler's: fewer than there are callers, so that each serves them all; or one for each.
CONNECTIONS = {"transaction": 3, "session": 2 * CALLERS}

END = """
select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s
"""


@pytest.mark.promise("isolation")
@needs_pgbouncer
@pytest.mark.parametrize("mode", CONNECTIONS)
async def test_nothing_is_lost_or_mixed_up_behind_a_pooler(
    stack: Stack, db: psycopg.Connection, mode: str
) -> None:
    """Each turn is stored once, in its own conversation, and each user reads own rows alone."""
    users = [await make_user(stack) for _ in range(USERS)]
    name = uuid4().hex
    turns = Turns(db, name)
    with pgbouncer(stack.settings.direct_url, mode=mode, size=CONNECTIONS[mode]) as url:
        named = f"{url}?application_name={name}"
        settings = settings_for(stack, supabase_db_url=named)
        async with create_pool(settings) as http:
            way = create_road(settings, http)
            store = Persistence(Store(way, timeout=30, places=StorePlaces(CALLERS * 2)))
            async with asyncio.TaskGroup() as tasks:
                for number in range(CALLERS):
                    tasks.create_task(talk(store, users, number % USERS, turns))
            # One whose end was asked for is there for a moment beside the one in its place.
            await until(lambda: server_processes(db) <= CONNECTIONS[mode])
            await way.aclose()
    stored = db.execute(
        "select count(*), count(distinct turn_id), count(distinct content) from messages"
        " where user_id = any(%s::uuid[])",
        ([user.id for user in users],),
    ).fetchone()
    for user in users:
        await user.functions.aclose()
    assert stored == (2 * TURNS, TURNS, 2 * TURNS)
    assert turns.ended > 0


class Turns:
    """The numbers of the turns that are left; half-way all connections are ended."""

    def __init__(self, db: psycopg.Connection, name: str) -> None:
        self._db, self._name = db, name
        self._numbers = iter(range(TURNS))
        self.ended = 0

    def __iter__(self) -> Iterator[int]:
        """Yield them to whoever is next."""
        for number in self._numbers:
            if number == TURNS // 2:
                self.ended = len(self._db.execute(END, (self._name,)).fetchall())
            yield number


async def talk(store: Persistence, users: list[User], number: int, turns: Turns) -> None:
    """Take turns in a conversation, and read it between them, as its owner and as another."""
    user, stranger = (
        Caller(UUID(users[n % USERS].id), users[n % USERS].token) for n in (number, number + 1)
    )
    assert user.user_id is not None
    assert stranger.user_id is not None
    conversation: UUID | None = None
    contents: list[str] = []
    for turn in turns:
        begun = await store.begin_turn(
            user_id=user.user_id,
            idempotency_key=f"turn {turn}",
            request_hash="hash",
            request=f"Request {turn}",
            message_id=uuid4(),
            conversation_id=conversation,
            project_id=None,
            metadata={},
            lease_seconds=60,
            history_tokens=1_000,
        )
        conversation = begun.conversation.id
        await in_time(
            store.complete_turn,
            user_id=user.user_id,
            turn_id=begun.turn.id,
            attempt=1,
            message_id=uuid4(),
            status="completed",
            content=f"Reply {turn}",
            generated_code=None,
            metadata={"success": True},
            error=None,
            tokens=1,
        )
        contents += [f"Request {turn}", f"Reply {turn}"]
        if random.random() < 0.5:  # noqa: S311
            await read(store, user, conversation, contents)
            listed = await store.list_conversations(
                stranger.user_id, caller=stranger, archived=False, project_id=None, limit=100,
                place=None,
            )  # fmt: skip
            assert {row.user_id for row in listed.conversations} <= {stranger.user_id}


@stamina.retry(on=StoreUnavailableError, attempts=5, wait_initial=0.1)
async def in_time(call: Callable[..., Awaitable[Any]], **arguments: Any) -> None:
    """Call again what is cut off: the attempt tells a completion from its repetition."""
    await call(**arguments)


async def read(store: Persistence, user: Caller, conversation: UUID, contents: list[str]) -> None:
    """Load the newest page, which is what this caller stored last."""
    assert user.user_id is not None
    request = LoadConversationRequest.model_validate({"conversationId": str(conversation)})
    page = await store.load_conversation(user.user_id, request, caller=user)
    loaded = [row.content for row in page.messages]
    assert loaded == contents[-len(loaded) :]
