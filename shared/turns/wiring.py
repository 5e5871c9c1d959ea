"""Puts the parts of the heart together: one registry, which all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .begin import TurnStarter
from .heartbeat import Heartbeat
from .live_events import LiveEvents
from .outside import OutsideTurns
from .registry import TurnRegistry
from .runner import TurnRunner
from .unstored import UnstoredRuns
from .worker import TurnWorker

if TYPE_CHECKING:
    from ..ai.protocol import Engine
    from ..config import Settings
    from ..persistence import Persistence
    from ..shares import Places
    from .broadcaster import Broadcaster
    from .summaries import Summaries


def build_runner(
    store: Persistence,
    engine: Engine,
    broadcaster: Broadcaster,
    summaries: Summaries,
    settings: Settings,
    places: Places,
) -> TurnRunner:
    """Return what runs the turns of a process."""
    registry = TurnRegistry(places)
    live_events = LiveEvents(registry, broadcaster, settings)
    heartbeat = Heartbeat(registry, store, settings)
    worker = TurnWorker(store, engine, live_events, summaries, settings)
    starter = TurnStarter(store, registry, worker, heartbeat, live_events, settings)
    unstored = UnstoredRuns(store, engine, registry, settings)
    outside = OutsideTurns(store, starter, live_events, summaries, settings)
    return TurnRunner(store, registry, starter, unstored, outside, settings)
