"""The only maker of Supabase clients: `service()` and `as_user(token)`, on one HTTP pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supabase import AsyncClient, AsyncClientOptions

if TYPE_CHECKING:
    import httpx

    from ..config import Settings


class Clients:
    """Supabase clients by authority. None of them ever signs in, so none changes its token."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._service = self._client(settings.secret_key.get_secret_value(), token=None)

    def service(self) -> AsyncClient:
        """Return the client that acts as the service: it passes row-level security."""
        return self._service

    def as_user(self, token: str) -> AsyncClient:
        """Return a client that acts as the user whose verified token this is."""
        return self._client(self._settings.supabase_publishable_key.get_secret_value(), token=token)

    def _client(self, key: str, *, token: str | None) -> AsyncClient:
        options = AsyncClientOptions(
            schema=self._settings.database_schema,
            httpx_client=self._http,
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
        )
        return AsyncClient(self._settings.supabase_url, key, options)
