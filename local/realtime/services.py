"""The parts that every request and socket of one server shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.realtime.authorization import Authorizer
from local.realtime.database import Database
from local.realtime.hub import Hub
from local.realtime.tokens import Tokens

if TYPE_CHECKING:
    from local.realtime.settings import Settings


@dataclass(slots=True)
class Services:
    """One server's parts; `connections` counts its open sockets."""

    settings: Settings
    tokens: Tokens
    database: Database
    authorizer: Authorizer
    hub: Hub
    connections: int = 0

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Make the parts; nothing is opened yet."""
        database = Database(settings.db_url)
        return cls(settings, Tokens(settings), database, Authorizer(database), Hub())
