"""Puts the parts of the heart together: one registry, which all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.turns.begin import TurnStarter
from shared.turns.heartbeat import Heartbeat
from shared.turns.live_events import LiveEvents
from shared.turns.registry import TurnRegistry
from shared.turns.runner import TurnRunner
from shared.turns.unstored import UnstoredRuns
from shared.turns.worker import TurnWorker

if TYPE_CHECKING:
    from shared.ai.protocol import Engine
    from shared.config import Settings
    from shared.shares import Places
    from shared.turns.broadcaster import Broadcaster
    from shared.turns.store import TurnStore
    from shared.turns.summaries import Summaries


def build_runner(
    store: TurnStore,
    engine: Engine,
    broadcaster: Broadcaster,
    summaries: Summaries,
    settings: Settings,
    places: Places,
) -> TurnRunner:
    """Return what runs the turns of a process."""
    registry = TurnRegistry(places)
    live_events = LiveEvents(
        registry,
        broadcaster,
        events_per_second=settings.realtime_events_per_second,
        deltas=settings.live_deltas,
    )
    heartbeat = Heartbeat(
        registry,
        store,
        lease_seconds=settings.lease_seconds,
        interval=settings.heartbeat_seconds,
    )
    worker = TurnWorker(
        store,
        engine,
        live_events,
        summaries,
        store_retry_seconds=settings.store_retry_seconds,
    )
    starter = TurnStarter(store, registry, worker, heartbeat, live_events, settings)
    unstored = UnstoredRuns(store, engine, registry, settings)
    return TurnRunner(store, registry, starter, unstored, settings)
