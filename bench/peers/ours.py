"""What is compared with the others: the floor, and a turn of ours over each road to the store."""

import os
import uuid
from functools import partial

import psycopg

from bench.database import HISTORY_OF_50, TEXT, Floor, conversation_of, take_turn
from shared.config import Settings, load_settings
from shared.container import Container
from tests.support.sql_calls import Caller


class TheFloor:
    """Two inserts and a select of fifty."""

    def __init__(self, url: str) -> None:
        self._floor = Floor(psycopg.connect(url, autocommit=True))

    async def fill(self, size: int) -> None:
        """It is there already."""

    async def turn(self, size: int) -> None:
        """Insert, select, insert."""
        self._floor.turn()


class InSql:
    """The two SQL functions, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.db = psycopg.connect(url, autocommit=True)
        self.user_id = os.environ["BENCH_USER"]
        self.chats: dict[int, str] = {}

    async def fill(self, size: int) -> None:
        """Make the conversation."""
        self.chats[size] = conversation_of(self.db, self.user_id, size)
        self.db.execute("vacuum analyze")

    async def turn(self, size: int) -> None:
        """Begin and complete."""
        take_turn(Caller(self.db), self.user_id, self.chats[size])


class OverTheDataApi(InSql):
    """The same two from Python, as the bundle calls them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._container = Container(self.settings(url))

    def settings(self, url: str) -> Settings:
        """Return what says by which road."""
        return load_settings(supabase_db_url="off")

    async def turn(self, size: int) -> None:
        """Begin and complete."""
        store = self._container.persistence
        begin = partial(store.begin_turn, project_id=None, metadata={}, lease_seconds=26)
        begun = await begin(
            user_id=uuid.UUID(self.user_id),
            idempotency_key=uuid.uuid4().hex,
            request_hash="bench",
            request=TEXT,
            message_id=uuid.uuid4(),
            conversation_id=uuid.UUID(self.chats[size]),
            history_tokens=HISTORY_OF_50,
        )
        await store.complete_turn(
            user_id=uuid.UUID(self.user_id),
            turn_id=begun.turn.id,
            attempt=begun.turn.attempt,
            message_id=uuid.uuid4(),
            status="completed",
            content=TEXT,
            generated_code=None,
            metadata={"success": True},
            error=None,
            tokens=0,
        )


class AtPostgresItself(OverTheDataApi):
    """The same, with SUPABASE_DB_URL set."""

    def settings(self, url: str) -> Settings:
        """Return settings of the direct road."""
        return load_settings(supabase_db_url=url)
