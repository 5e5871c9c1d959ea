"""Libraries that read a conversation as a whole: llama-index, chainlit, langgraph.

Classes as in the module beside this one.
"""

import uuid
from typing import Any
from urllib.parse import urlsplit

from bench.peers.rows import ROLES, TEXT, with_driver


class LlamaIndex:
    """The chat store of llama-index: one row a conversation, whose array grows."""

    def __init__(self, url: str) -> None:
        from llama_index.storage.chat_store.postgres import PostgresChatStore

        place = urlsplit(url)
        self._store = PostgresChatStore.from_params(
            host=place.hostname,
            port=str(place.port),
            database=place.path[1:],
            user=place.username,
            password=place.password,
            use_jsonb=True,
        )

    async def fill(self, size: int) -> None:
        """Set all messages at once."""
        await self._store.aset_messages(
            str(size), [self._message(ROLES[n % 2]) for n in range(size)]
        )

    async def turn(self, size: int) -> None:
        """Add the message, read, add the reply."""
        await self._store.async_add_message(str(size), self._message("user"))
        await self._store.aget_messages(str(size))
        await self._store.async_add_message(str(size), self._message("assistant"))

    def _message(self, role: str) -> Any:
        from llama_index.core.llms import ChatMessage

        return ChatMessage(role=role, content=TEXT)


class Chainlit:
    """The SQLAlchemy data layer of chainlit, which reads a whole thread; its documented tables."""

    TABLES = """
        create table if not exists users ("id" uuid primary key, "identifier" text not null unique,
            "metadata" jsonb not null, "createdAt" text);
        create table if not exists threads ("id" uuid primary key, "createdAt" text, "name" text,
            "userId" uuid, "userIdentifier" text, "tags" text[], "metadata" jsonb);
        create table if not exists steps ("id" uuid primary key, "name" text not null,
            "type" text not null, "threadId" uuid not null, "parentId" uuid,
            "streaming" boolean not null, "waitForAnswer" boolean, "isError" boolean,
            "metadata" jsonb, "tags" text[], "input" text, "output" text, "createdAt" text,
            "command" text, "start" text, "end" text, "generation" jsonb, "showInput" text,
            "language" text, "indent" int, "defaultOpen" boolean, "autoCollapse" boolean);
        create table if not exists elements ("id" uuid primary key, "threadId" uuid, "type" text,
            "url" text, "chainlitKey" text, "name" text not null, "display" text,
            "objectKey" text, "size" text, "page" int, "language" text, "forId" uuid,
            "mime" text, "props" jsonb);
        create table if not exists feedbacks ("id" uuid primary key, "forId" uuid not null,
            "threadId" uuid, "value" int not null, "comment" text);
        create index if not exists steps_thread on steps ("threadId", "createdAt");
        create index if not exists elements_thread on elements ("threadId");
        create index if not exists feedbacks_step on feedbacks ("forId");
    """

    def __init__(self, url: str) -> None:
        import psycopg
        from chainlit.context import init_http_context
        from chainlit.data.sql_alchemy import SQLAlchemyDataLayer

        with psycopg.connect(url, autocommit=True) as db:
            db.execute(self.TABLES)
        self._init_context = init_http_context
        self._layer = SQLAlchemyDataLayer(with_driver(url, "asyncpg"))

    async def fill(self, size: int) -> None:
        """Create a step for each message."""
        self._init_context()
        await self._layer.update_thread(str(uuid.UUID(int=size)), name="bench")
        for number in range(size):
            await self._layer.create_step(self._step(size, ROLES[number % 2]))

    async def turn(self, size: int) -> None:
        """Create the user's step, read the thread, create the reply's."""
        await self._layer.create_step(self._step(size, "user"))
        await self._layer.get_thread(str(uuid.UUID(int=size)))
        await self._layer.create_step(self._step(size, "assistant"))

    def _step(self, size: int, role: str) -> Any:
        return {
            "id": str(uuid.uuid4()),
            "threadId": str(uuid.UUID(int=size)),
            "name": role,
            "type": f"{role}_message",
            "output": TEXT,
            "streaming": False,
            "createdAt": "2026-01-01T00:00:00Z",
        }


class LangGraph:
    """A graph of one node with the Postgres checkpointer of langgraph, as its page shows it."""

    def __init__(self, url: str) -> None:
        import psycopg
        from langchain_core.messages import AIMessage
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.graph import START, MessagesState, StateGraph
        from psycopg.rows import dict_row

        saver = PostgresSaver(psycopg.connect(url, autocommit=True, row_factory=dict_row))
        saver.setup()
        graph = StateGraph(MessagesState)
        graph.add_node("reply", lambda state: {"messages": [AIMessage(TEXT)]})
        graph.add_edge(START, "reply")
        self._graph = graph.compile(checkpointer=saver)

    async def fill(self, size: int) -> None:
        """Give all messages to one run."""
        from langchain_core.messages import AIMessage, HumanMessage

        kinds = (HumanMessage, AIMessage)
        self._invoke(size, [kinds[n % 2](TEXT) for n in range(size - 1)])

    async def turn(self, size: int) -> None:
        """Run the graph, which loads its state and stores the next."""
        from langchain_core.messages import HumanMessage

        self._invoke(size, [HumanMessage(TEXT)])

    def _invoke(self, size: int, messages: list[Any]) -> None:
        self._graph.invoke({"messages": messages}, {"configurable": {"thread_id": str(size)}})
