"""Libraries that store a row a message or a turn: openai-agents, agno, adk, langchain-postgres.

One class a library: `fill` a conversation with so many messages, then take a `turn` in it. A turn
stores what the user wrote, reads the newest fifty messages if the library can read so few, and
stores the reply. Imports stand in the classes: what is not compared with need not be installed.
"""

import time
import uuid
from typing import Any

HISTORY = 50
TEXT = "A message of the length that most have: about a hundred bytes, some words, an end to them."
ROLES = ("user", "assistant")


def with_driver(url: str, driver: str) -> str:
    """Return a database's URL as SQLAlchemy wants it."""
    return url.replace("postgresql://", f"postgresql+{driver}://")


class Naive:
    """The flow that one writes first: insert, read all, insert."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._db = psycopg.connect(url, autocommit=True)
        self._db.execute(
            "create table if not exists naive_messages (id uuid primary key default"
            " gen_random_uuid(), conversation_id int not null, role text not null, content text"
            " not null, metadata jsonb default '{}', created_at timestamptz default now());"
            " create index if not exists naive_index on naive_messages"
            " (conversation_id, created_at)"
        )

    async def fill(self, size: int) -> None:
        """Insert all messages at once."""
        self._db.execute(
            "insert into naive_messages (conversation_id, role, content)"
            " select %s, 'user', %s from generate_series(1, %s)",
            (size, TEXT, size),
        )
        self._db.execute("vacuum analyze naive_messages")

    async def turn(self, size: int) -> None:
        """Insert the message, read all, insert the reply."""
        self._insert(size, "user")
        self._db.execute(
            "select role, content from naive_messages where conversation_id = %s"
            " order by created_at",
            (size,),
        ).fetchall()
        self._insert(size, "assistant")

    def _insert(self, size: int, role: str) -> None:
        self._db.execute(
            "insert into naive_messages (conversation_id, role, content) values (%s, %s, %s)",
            (size, role, TEXT),
        )


class OpenAiAgents:
    """The session of openai-agents, in rows of items."""

    def __init__(self, url: str) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self._engine = create_async_engine(with_driver(url, "asyncpg"))
        self._sessions: dict[int, Any] = {}

    async def fill(self, size: int) -> None:
        """Add all items at once."""
        from agents.extensions.memory import SQLAlchemySession

        session = SQLAlchemySession(str(size), engine=self._engine, create_tables=True)
        self._sessions[size] = session
        rows: list[Any] = [{"role": ROLES[n % 2], "content": TEXT} for n in range(size)]
        await session.add_items(rows)

    async def turn(self, size: int) -> None:
        """Add the message, read the newest, add the reply."""
        session = self._sessions[size]
        await session.add_items([{"role": "user", "content": TEXT}])
        await session.get_items(limit=HISTORY)
        await session.add_items([{"role": "assistant", "content": TEXT}])


class Agno:
    """Agno's database of sessions and runs; a run holds both messages and comes with the reply."""

    def __init__(self, url: str) -> None:
        from agno.db.postgres import PostgresDb

        self._db = PostgresDb(db_url=with_driver(url, "psycopg"))

    async def fill(self, size: int) -> None:
        """Store a run for each two messages."""
        from agno.session.agent import AgentSession

        session = AgentSession(
            session_id=str(size), agent_id="bench", user_id="user", created_at=int(time.time())
        )
        self._db.upsert_session(session)
        for index in range(size // 2):
            self._db.upsert_run(self._run(size), str(size), "user", run_index=index)

    async def turn(self, size: int) -> None:
        """Read the session with the newest runs, store the next, and the session."""
        from agno.db.base import SessionType

        session: Any = self._db.get_session(
            str(size), SessionType.AGENT, "user", runs_limit=HISTORY // 2
        )
        session.get_messages(limit=HISTORY)
        run = self._run(size)
        session.upsert_run(run)
        self._db.upsert_run(run, str(size), "user")
        self._db.upsert_session(session)

    def _run(self, size: int) -> Any:
        from agno.models.message import Message
        from agno.run.agent import RunOutput
        from agno.run.base import RunStatus

        return RunOutput(
            run_id=str(uuid.uuid4()),
            session_id=str(size),
            agent_id="bench",
            user_id="user",
            status=RunStatus.completed,
            content=TEXT,
            messages=[Message(role=role, content=TEXT) for role in ROLES],
        )


class GoogleAdk:
    """The database session service of google-adk."""

    def __init__(self, url: str) -> None:
        from google.adk.sessions import DatabaseSessionService

        self._service = DatabaseSessionService(with_driver(url, "asyncpg"))

    async def fill(self, size: int) -> None:
        """Append an event for each message."""
        session = await self._service.create_session(
            app_name="bench", user_id="user", session_id=str(size)
        )
        for number in range(size):
            await self._service.append_event(session, self._event(ROLES[number % 2]))

    async def turn(self, size: int) -> None:
        """Read the session with its newest events, append two."""
        from google.adk.sessions.base_session_service import GetSessionConfig

        session = await self._service.get_session(
            app_name="bench",
            user_id="user",
            session_id=str(size),
            config=GetSessionConfig(num_recent_events=HISTORY),
        )
        assert session is not None
        for role in ROLES:
            await self._service.append_event(session, self._event(role))

    def _event(self, role: str) -> Any:
        from google.adk.events import Event
        from google.genai import types

        content = types.Content(role=role, parts=[types.Part(text=TEXT)])
        return Event(author=role, content=content, invocation_id="bench")


class LangchainPostgres:
    """The message history of langchain-postgres, which reads all of it."""

    def __init__(self, url: str) -> None:
        import psycopg
        from langchain_postgres import PostgresChatMessageHistory

        self._db = psycopg.connect(url)
        PostgresChatMessageHistory.create_tables(self._db, "langchain_history")

    def _history(self, size: int) -> Any:
        from langchain_postgres import PostgresChatMessageHistory

        return PostgresChatMessageHistory(
            "langchain_history", str(uuid.UUID(int=size)), sync_connection=self._db
        )

    async def fill(self, size: int) -> None:
        """Add all messages at once."""
        from langchain_core.messages import AIMessage, HumanMessage

        kinds = (HumanMessage, AIMessage)
        self._history(size).add_messages([kinds[n % 2](TEXT) for n in range(size)])

    async def turn(self, size: int) -> None:
        """Add the message, read, add the reply."""
        from langchain_core.messages import AIMessage, HumanMessage

        history = self._history(size)
        history.add_messages([HumanMessage(TEXT)])
        history.get_messages()
        history.add_messages([AIMessage(TEXT)])
