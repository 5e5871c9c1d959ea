"""The road to the SQL functions over the Data API.

The only place that makes a Supabase client and calls `.rpc()`, and the only one that knows
PostgREST's errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from postgrest import APIError
from supabase import AsyncClient, AsyncClientOptions

from .failures import meaning, unavailable, unstorable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..auth.caller import Caller
    from ..config import Settings


class DataApi:
    """Calls SQL functions over HTTP, with the caller's token or the service's key.

    No client of these ever signs in, so none changes its token.
    """

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._service = self._client(settings.secret_key.get_secret_value(), token=None)

    async def call(
        self, function: str, arguments: Mapping[str, Any], *, caller: Caller | None
    ) -> Any:
        """Call a function once; return its value."""
        try:
            answer = await self._client_for(caller).rpc(function, dict(arguments)).execute()
        except APIError as exc:
            as_user = caller is not None and not caller.is_service
            code, message = str(exc.code or ""), exc.message or ""
            raise meaning(code, message, function, as_user=as_user) from exc
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise unavailable(function, type(exc).__name__) from exc
        except UnicodeEncodeError as exc:  # half of a surrogate pair in an argument
            raise unstorable() from exc
        except ValueError as exc:  # an answer that isn't the Data API's
            raise unavailable(function, type(exc).__name__) from exc
        return answer.data

    async def aclose(self) -> None:
        """Do nothing: the pool is its maker's."""

    def _client_for(self, caller: Caller | None) -> AsyncClient:
        """Return the client that acts as the service, past row-level security, or as a user."""
        if caller is None or caller.token is None:
            return self._service
        key = self._settings.supabase_publishable_key.get_secret_value()
        return self._client(key, token=caller.token)

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
