"""What a process holds: one pool, its store or stores, one engine. Built once at start-up."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .persistence import Persistence
from .persistence.http_pool import create_pool
from .persistence.replica import create_replica
from .persistence.roads import create_roads
from .persistence.rpc import Store
from .persistence.stores import Stores, load_store_of
from .shares import Shares, StorePlaces

if TYPE_CHECKING:
    import asyncio
    from uuid import UUID

    from .ai.agents import Agent
    from .ai.protocol import Engine, Summariser
    from .auth.authenticator import Authenticator
    from .auth.caller import Caller
    from .config import Settings
    from .imports.importer import Importer
    from .integrity.health import StoreHealth
    from .persistence.roads import Road
    from .turns.runner import TurnRunner
    from .turns.summaries import Summaries
    from .ui_stream.chat import UiChat


class Container:
    """Everything an endpoint may ask for, wired from the settings.

    `engine`, or an agent, and `summariser` take the places of those that the settings name.

    `stores` are what `persistence` calls, each alone: where there is one only, that.

    Raises ConfigurationError if the settings' road to the store can't be taken.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Agent | Engine | None = None,
        summariser: Summariser | None = None,
    ) -> None:
        self.settings = settings
        self._engine = engine
        self._summariser = summariser
        self.http = create_pool(settings)
        self.shares = Shares(settings)
        self._roads = create_roads(settings, self.http)
        self._replica = create_replica(settings, next(iter(self._roads.values())))
        stores = {name: self._store_at(road) for name, road in self._roads.items()}
        self.stores = {name: Persistence(store) for name, store in stores.items()}
        if settings.store_of is None:
            (self.persistence,) = self.stores.values()
        else:
            self.persistence = Persistence(Stores(stores, load_store_of(settings.store_of)))

    def _store_at(self, road: Road) -> Store:
        """Return the store at a road's end. Each has places of its own: one may be away."""
        settings = self.settings
        places = StorePlaces(settings.store_connections)
        return Store(road, timeout=settings.store_timeout, places=places, replica=self._replica)

    @cached_property
    def authenticator(self) -> Authenticator:
        """Who verifies tokens. Imported here, as what follows: not everybody needs all of it."""
        from .auth.authenticator import Authenticator
        from .auth.jwks import JwksCache

        jwks_url = f"{self.settings.supabase_url}/auth/v1/.well-known/jwks.json"
        return Authenticator(self.settings, JwksCache(self.http, jwks_url))

    @cached_property
    def health(self) -> StoreHealth:
        """What is known of the store's health."""
        from .integrity.health import StoreHealth

        return StoreHealth(self.stores)

    @cached_property
    def turns(self) -> TurnRunner:
        """The runner of turns. Imported here, since most endpoints need no AI.

        Raises ConfigurationError if the configured model or engine can't be used.
        """
        from .ai import engine_for
        from .turns.broadcaster import Broadcaster
        from .turns.wiring import build_runner

        settings = self.settings
        engine = engine_for(settings, self._engine)
        broadcaster = Broadcaster(self.http, settings)
        return build_runner(
            self.persistence, engine, broadcaster, self.summaries, settings, self.shares.turns
        )

    def ui_chat(self, user_id: UUID, chat_id: str, *, caller: Caller) -> UiChat:
        """A chat of the verified user's as the AI SDK knows it."""
        from .ui_stream.chat import UiChat
        from .ui_stream.stored_chat import StoredChat

        return UiChat(self.turns, StoredChat(self.persistence, user_id, chat_id, caller=caller))

    @cached_property
    def importer(self) -> Importer:
        """The importer of files."""
        from .imports.importer import Importer

        return Importer(self.persistence, max_bytes=self.settings.max_import_bytes)

    @cached_property
    def summaries(self) -> Summaries:
        """The keeper of summaries."""
        from .ai import summariser_for
        from .turns.summaries import Summaries

        summariser = self._summariser or summariser_for(self.settings)
        return Summaries(self.persistence, summariser, self.settings)

    @property
    def engine_name(self) -> str:
        """Which engine answers, for the log."""
        settings = self.settings
        if self._engine is not None:
            return str(getattr(self._engine, "name", getattr(self._engine, "__name__", "own")))
        return settings.mega_mind_engine or settings.mega_mind_model or "offline"

    @property
    def working(self) -> frozenset[asyncio.Task[Any]]:
        """The turns that begin or run in this process."""
        return self.turns.registry.working if "turns" in self.__dict__ else frozenset()

    async def aclose(self) -> None:
        """Let running turns and summaries end, then let go of the connections."""
        if "turns" in self.__dict__:
            deadline = time.monotonic() + self.settings.drain_seconds
            await self.turns.registry.drain(self.settings.drain_seconds)
            await self.summaries.drain(max(deadline - time.monotonic(), 0))
        for road in self._roads.values():
            await road.aclose()
        if self._replica is not None:
            await self._replica.aclose()
        await self.http.aclose()
