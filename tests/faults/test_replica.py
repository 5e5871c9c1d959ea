"""Reads from a replica, on two real servers: nothing that a caller knows of is missing from them.

The replica lags here for as long as a test wants: what it answers shows by what it lacks.
"""

import math
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

import jwt
import psycopg
import pytest

from local import database
from shared.auth.caller import Caller
from shared.errors import ConversationNotFoundError
from shared.models.conversations import LoadConversationRequest
from shared.models.search import SearchMessagesRequest
from shared.persistence import Persistence
from shared.persistence.postgres import Postgres
from shared.persistence.replica import Replica
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.postgres import Server, running_server
from tests.support.sql_calls import Caller as SqlCaller
from tests.support.sql_calls import make_account, make_conversation
from tests.support.standby import lagging, standby_of

pytestmark = pytest.mark.promise("replica", red="any answer of the replica is taken")


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    """A server with the schema on it."""
    with running_server() as server:
        database.shape(server.url())
        database.migrate(server.url())
        yield server


@pytest.fixture(scope="module")
def standby(primary: Server) -> Iterator[Server]:
    """Its replica."""
    with standby_of(primary) as server:
        yield server


@pytest.fixture
async def store(primary: Server, standby: Server) -> AsyncIterator[Persistence]:
    """A store on the primary that reads from the replica."""
    async with store_on(primary, standby) as persistence:
        yield persistence


@asynccontextmanager
async def store_on(
    primary: Server, standby: Server, *, looked_at: float = math.inf
) -> AsyncIterator[Persistence]:
    """Give a store on two servers, which looks no more at whether the replica follows."""
    roads = [Postgres(server.url(), schema="public", timeout=8) for server in (primary, standby)]
    replica = Replica(roads[1], roads[0])
    replica._looked_at = looked_at
    yield Persistence(Store(roads[0], timeout=8, places=StorePlaces(3), replica=replica))
    for road in roads:
        await road.aclose()


class Chat:
    """A user's conversation, which the primary writes to."""

    def __init__(self, server: Server) -> None:
        with psycopg.connect(server.url(), autocommit=True) as db:
            self.user_id = make_account(db)
            self.id = make_conversation(db, self.user_id)
        self._server = server
        token = jwt.encode({"sub": self.user_id}, "a key that nobody asks about, long enough")
        self.caller = Caller(UUID(self.user_id), token)

    def grow(self) -> int:
        """Take a turn, and return the seq of its reply."""
        with psycopg.connect(self._server.url(), autocommit=True) as db:
            service = SqlCaller(db)
            begun = service.begin(self.user_id, "A heron", conversation_id=self.id)
            return int(service.complete(begun)["reply"]["seq"])

    async def seqs(self, store: Persistence, **place: int) -> list[int]:
        """Load a page, and return the places of its messages."""
        request = LoadConversationRequest.model_validate({"conversationId": self.id, **place})
        page = await store.load_conversation(UUID(self.user_id), request, caller=self.caller)
        return [message.seq for message in page.messages]


@pytest.fixture
def chat(primary: Server, standby: Server) -> Chat:
    """A conversation of one turn, which the replica has."""
    made = Chat(primary)
    made.grow()
    caught_up(primary)
    return made


def caught_up(primary: Server) -> None:
    """Wait until the replica has all that the primary has: this commit waits for it."""
    with psycopg.connect(primary.url(), autocommit=True) as db:
        db.execute("set synchronous_commit = remote_apply")
        db.execute("create table if not exists marks (id uuid)")
        db.execute("insert into marks values (%s)", (uuid.uuid4(),))


async def test_a_page_comes_from_a_replica_that_has_what_its_reader_knows(
    primary: Server, store: Persistence, chat: Chat
) -> None:
    """What the replica lacks is not in it."""
    with lagging(primary):
        chat.grow()
        assert await chat.seqs(store, seen=2) == [1, 2]
        assert await chat.seqs(store, before=3) == [1, 2]


async def test_what_its_reader_knows_is_never_missing(
    primary: Server, store: Persistence, chat: Chat
) -> None:
    """The primary is asked where the replica has less, and where nothing is said."""
    with lagging(primary):
        last = chat.grow()
        assert await chat.seqs(store, seen=last) == [1, 2, 3, 4]
        assert await chat.seqs(store, after=last - 1) == [4]
        assert await chat.seqs(store) == [1, 2, 3, 4]


async def test_a_conversation_that_a_replica_does_not_have_is_the_primarys(
    primary: Server, store: Persistence, chat: Chat
) -> None:
    """Begun a moment ago; and one that nobody has is missing all the same."""
    with lagging(primary):
        newer = Chat(primary)
        newer.grow()
        assert await newer.seqs(store, seen=1) == [1, 2]
        newer.id = str(uuid.uuid4())
        with pytest.raises(ConversationNotFoundError):
            await newer.seqs(store, seen=1)


async def test_nobody_reads_anothers_conversation_on_a_replica(
    primary: Server, store: Persistence, chat: Chat
) -> None:
    """Row-level security holds there too."""
    stranger = Chat(primary)
    caught_up(primary)
    stranger.id = chat.id
    with pytest.raises(ConversationNotFoundError):
        await stranger.seqs(store, seen=1)


async def test_lists_searches_and_exports_are_of_a_moment_ago(
    primary: Server, store: Persistence, chat: Chat
) -> None:
    """But an export that began on the primary ends there."""
    user_id = UUID(chat.user_id)
    search = SearchMessagesRequest(q="heron")
    with lagging(primary):
        chat.grow()
        listed = await store.list_conversations(
            user_id, caller=chat.caller, archived=False, project_id=None, limit=5, place=None
        )
        found = await store.search_messages(user_id, search, caller=chat.caller, place=None)
        begun = await store.export_messages(user_id, UUID(chat.id), caller=chat.caller)
        ended = await store.export_messages(
            user_id, UUID(chat.id), caller=chat.caller, after=2, until=4
        )
    assert [row.last_seq for row in listed.conversations] == [2]
    assert len(found.hits) == 1
    assert [message.seq for message in begun.messages] == [1, 2]
    assert [message.seq for message in ended.messages] == [3, 4]


async def test_a_replica_that_has_stopped_following_is_not_asked(
    primary: Server, standby: Server, chat: Chat
) -> None:
    """It answers, with what was erased since."""
    async with store_on(primary, standby, looked_at=-math.inf) as store:
        with lagging(primary):
            chat.grow()
            listed = await store.list_conversations(
                UUID(chat.user_id), caller=chat.caller,
                archived=False, project_id=None, limit=5, place=None,
            )  # fmt: skip
    assert [row.last_seq for row in listed.conversations] == [4]


async def test_a_replica_that_is_lost_is_not_missed(primary: Server) -> None:
    """Every read goes on, on the primary."""
    with standby_of(primary) as standby:
        lost = Chat(primary)
        lost.grow()
        async with store_on(primary, standby) as store:
            standby.kill()
            assert await lost.seqs(store, seen=1) == [1, 2]
            assert await lost.seqs(store, seen=1) == [1, 2]
