"""What a process holds: one pool, one store, one engine. Built once at start-up."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.auth import Authenticator
from shared.clients import Clients, create_pool
from shared.config import ConfigurationError, Settings
from shared.gauge import DamageGauge
from shared.jwks import JwksCache
from shared.persistence import Persistence
from shared.store import Store

if TYPE_CHECKING:
    import asyncio

    from shared.engine.protocol import Engine
    from shared.turn import TurnRunner


class Services:
    """Everything an endpoint may ask for, wired from the settings.

    `engine` takes the place of the one that the settings name.
    """

    def __init__(self, settings: Settings, *, engine: Engine | None = None) -> None:
        self.settings = settings
        self._engine = engine
        self.http = create_pool(settings)
        jwks_url = f"{settings.supabase_url}/auth/v1/.well-known/jwks.json"
        self.authenticator = Authenticator(settings, JwksCache(self.http, jwks_url))
        self.persistence = Persistence(
            Store(Clients(settings, self.http), timeout=settings.store_timeout)
        )
        self.damage = DamageGauge(self.persistence)

    @cached_property
    def turns(self) -> TurnRunner:
        """The runner of turns. Imported here, since most endpoints need no AI.

        Raises ConfigurationError where the configured model can't be used.
        """
        from shared.broadcast import Broadcaster
        from shared.heartbeat import Heartbeat
        from shared.turn import TurnRunner
        from shared.worker import TurnWorker

        settings = self.settings
        engine = self._engine or _configured_engine(settings)
        worker = TurnWorker(
            self.persistence,
            engine,
            Broadcaster(self.http, settings),
            Heartbeat(
                self.persistence,
                lease_seconds=settings.lease_seconds,
                interval=settings.heartbeat_seconds,
            ),
            unstored_seconds=settings.unstored_seconds,
        )
        return TurnRunner(self.persistence, engine, worker, settings)

    @property
    def working(self) -> frozenset[asyncio.Task[None]]:
        """The turns that run in this process."""
        return self.turns.working if "turns" in self.__dict__ else frozenset()

    async def aclose(self) -> None:
        """Let running turns end, then let go of the connections."""
        if "turns" in self.__dict__:
            await self.turns.drain(self.settings.drain_seconds)
        await self.http.aclose()


def _configured_engine(settings: Settings) -> Engine:
    from shared.engine import create_engine

    try:
        return create_engine(
            model=settings.mega_mind_model,
            base_url=settings.mega_mind_base_url,
            api_key=settings.mega_mind_api_key,
            offline_delay=settings.offline_delay,
            time_limit=settings.engine_timeout,
            max_reply_chars=settings.max_reply_chars,
        )
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from exc
