"""The parts that every request and connection of one server shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.realtime.database import Database
from local.realtime.hub import Hub
from local.realtime.identity import Tokens
from local.realtime.policies import Policies
from local.realtime.rate import Rate

if TYPE_CHECKING:
    from local.realtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """One server's parts."""

    tokens: Tokens
    database: Database
    policies: Policies
    hub: Hub

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Make the parts; nothing is opened yet."""
        database = Database(settings.db_url)
        rate = Rate(settings.events_per_second, tick_seconds=settings.tick_seconds)
        return cls(Tokens(settings), database, Policies(database), Hub(rate))
