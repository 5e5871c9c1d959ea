"""Two bare servers behind one bundle, and the function that says whose store is which."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import httpx
import psycopg

from functions.app import create_app
from local import database
from shared.config import Settings
from shared.container import Container
from tests.support.postgres import Server, running_server
from tests.support.sql_calls import Caller
from tests.support.tokens import claims_for, signed
from tests.support.unit_settings import JWT_SECRET, SECRET_KEY, URL, unit_settings

NAMES = ("one", "two")
HOMES: dict[UUID, str | None] = {}


def store_of(user_id: UUID) -> str | None:
    """Say where a user is: what STORE_OF names."""
    return HOMES[user_id]


@contextmanager
def two_servers() -> Iterator[dict[str, Server]]:
    """Run two servers that have the schema."""
    with running_server() as one, running_server() as two:
        for server in (one, two):
            database.shape(server.url())
            database.migrate(server.url())
            # As on hosted projects, where supautils lets it.
            server.execute("grant set on parameter session_replication_role to postgres")
        yield {"one": one, "two": two}


def owner_url(server: Server) -> str:
    """Return the URL at which the tables' owner is, who is no superuser."""
    return f"{server.url()}?options=-crole%3Dpostgres"


def settings_of(servers: dict[str, Server], **overrides: Any) -> Settings:
    """Return the settings of a bundle in front of them."""
    urls = {
        name: f"postgresql://message_persistence@127.0.0.1:{server.port}/postgres"
        for name, server in servers.items()
    }
    named = f"{__name__}:{store_of.__name__}"
    return unit_settings(supabase_db_urls=json.dumps(urls), store_of=named, **overrides)


@dataclass
class Bundle:
    """A bundle on several stores, as its users and the service call it."""

    container: Container
    http: httpx.AsyncClient

    async def call(self, user_id: UUID | None, path: str, **body: Any) -> httpx.Response:
        """POST as this user, or as the service; `key` is the Idempotency-Key."""
        key = body.pop("key", None)
        token = signed(claims_for(str(user_id), iss=f"{URL}/auth/v1"), JWT_SECRET)
        who = {"authorization": f"Bearer {token}"} if user_id else {"apikey": SECRET_KEY}
        headers = who | ({"idempotency-key": key} if key else {})
        return await self.http.post(path, json=body, headers=headers)


@asynccontextmanager
async def bundle_on(servers: dict[str, Server], **overrides: Any) -> AsyncIterator[Bundle]:
    """Serve the bundle in this process."""
    settings = settings_of(servers, **overrides)
    app = create_app(settings=settings)
    app.state.container = container = Container(settings)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bundle", timeout=60) as http:
        yield Bundle(container, http)
    await container.aclose()


def make_user_at(servers: dict[str, Server], name: str) -> UUID:
    """Make a user whose store this is, with an account in both, as a move needs it."""
    user_id = uuid.uuid4()
    for server in servers.values():
        with psycopg.connect(server.url(), autocommit=True) as db:
            db.execute("insert into auth.users (id) values (%s)", (user_id,))
    HOMES[user_id] = name
    return user_id


class Everything:
    """A user with rows in every table."""

    def __init__(self, db: psycopg.Connection, user_id: UUID) -> None:
        self._service = Caller(db)
        self.user_id = str(user_id)

    def write(self) -> Self:
        """Write what the functions write, once each; return this."""
        call, user = self._service.call, self.user_id
        call("set_limits", bytes_per_day=10_000_000)
        call("erase_account", user_id=user, idempotency_key="earlier")
        gone = self._turn("gone", turns_per_minute=100)
        call("delete_conversation", user_id=user, conversation_id=gone)
        chat = self._turn("A heron by the river", parts=[{"type": "text", "text": "A heron"}])
        call("write_summary", user_id=user, conversation_id=chat, message_id=str(uuid.uuid4()),
             covers_to=2, content="Birds.")  # fmt: skip
        call("index_messages", user_id=user)
        call("place_legal_hold", user_id=user, reason="A case", conversation_id=chat)
        call("set_retention_policy", user_id=user, project_id=None, archive_after_days=9)
        self._branch(chat)
        self._import()
        self._service.connection.execute(
            "insert into private.import_keys (user_id, key_hash) values (%s, 'a key')", (user,)
        )
        self._service.begin(user, "It runs", lease_seconds=600)
        return self

    def _turn(self, request: str, *, parts: Any = None, **limits: Any) -> str:
        begun = self._service.begin(self.user_id, request, **limits)
        self._service.complete(begun, content=f"{request}, was said.")
        return str(begun["conversation"]["id"])

    def _branch(self, chat: str) -> None:
        page = self._service.call("load_conversation", user_id=self.user_id, conversation_id=chat)
        first = page["messages"][0]["id"]
        begun = self._service.begin(self.user_id, "Edited", conversation_id=chat, edits=first)
        self._service.complete(begun)

    def _import(self) -> None:
        at = {"created_at": "2020-01-01T00:00:00Z", "metadata": "{}"}
        piece = {
            "place": 0, "first": 1, "is_last": False,
            "conversation": {
                **at, "title": "Old", "updated_at": "2020-01-01T00:00:00Z", "last_seq": 2,
                "imported": {"source": "list", "id": uuid.uuid4().hex},
            },
            "messages": [{**at, "role": "user", "content": "Old"}],
        }  # fmt: skip
        self._service.connection.execute(
            "select public.take_import_part(%s, %s, 0, %s)",
            (self.user_id, str(uuid.uuid4()), json.dumps([piece])),
        )
