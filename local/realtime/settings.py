"""The server's keys and its database. Only this module reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(Exception):
    """A setting is missing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The server's settings; secrets stay out of its repr."""

    db_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    publishable_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    events_per_second: float = 100  # sent and delivered: what the smallest hosted plan carries
    tick_seconds: float = 5.0  # how often their mean is made; it is of twelve such times

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings, or raise SettingsError with the name of the first missing one."""
        return cls(
            db_url=_required(environ, "LOCAL_DB_URL"),
            jwt_secret=_required(environ, "SUPABASE_JWT_SECRET"),
            publishable_key=_required(environ, "SUPABASE_PUBLISHABLE_KEY"),
            secret_key=_required(environ, "SUPABASE_SECRET_KEY"),
            events_per_second=float(environ.get("LOCAL_REALTIME_EVENTS_PER_SECOND", "100")),
            tick_seconds=float(environ.get("LOCAL_REALTIME_TICK_SECONDS", "5")),
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: the broadcast server needs it to start.")
    return value
