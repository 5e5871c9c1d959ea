"""The roads to the SQL functions: over the Data API, or to Postgres itself where its URL is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..config import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx
    from pydantic import SecretStr

    from ..auth.caller import Caller
    from ..config import Settings


class SqlFunctions(Protocol):
    """What calls SQL functions by their names: one store, or several."""

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        caller: Caller | None,
        attempts: int = 1,
        is_urgent: bool = False,
        is_enough: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Any:
        """Call a function as this caller, as shared.persistence.rpc.Store says."""


class Road(Protocol):
    """A way to call SQL functions, for as many callers at a time as there are places."""

    async def call(
        self, function: str, arguments: Mapping[str, Any], *, caller: Caller | None
    ) -> Any:
        """Call a function once, as this caller (None: as the service); return its value.

        Raises the AppError that a failure stands for. Where it is cancelled, nothing of the call
        is left on a connection that others use.
        """

    async def aclose(self) -> None:
        """Let go of the connections."""


def create_road(settings: Settings, http: httpx.AsyncClient) -> Road:
    """Return the road that the settings name. Either library is imported only where it is used.

    Raises ConfigurationError if the one to Postgres lacks its driver, or its URL is none.
    """
    if settings.supabase_db_url is None:
        from .data_api import DataApi

        return DataApi(settings, http)
    return create_postgres(settings.supabase_db_url, settings)


def create_roads(settings: Settings, http: httpx.AsyncClient) -> dict[str, Road]:
    """Return the road to each store, by its name: `store` where there is one only."""
    if not settings.supabase_db_urls:
        return {"store": create_road(settings, http)}
    return {name: create_postgres(url, settings) for name, url in settings.supabase_db_urls.items()}


def create_postgres(url: SecretStr, settings: Settings) -> Road:
    """Return the road to the Postgres at this URL.

    Raises ConfigurationError if its driver is missing, or the URL is none.
    """
    try:
        from .postgres import Postgres
    except ImportError as exc:
        raise ConfigurationError(
            "SUPABASE_DB_URL needs the driver of Postgres: install the extra `database`"
        ) from exc
    return Postgres(
        url.get_secret_value(),
        schema=settings.database_schema,
        timeout=settings.store_timeout,
    )
