"""The project's public signing keys: fetched once, cached, and never on a stranger's demand."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import jwt
import structlog

from ..errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

log = structlog.get_logger(__name__)

LIFETIME_SECONDS = 600.0
COOLDOWN_SECONDS = 30.0
FETCH_SECONDS = 5.0
ALGORITHMS = frozenset({"RS256", "ES256"})


class JwksCache:
    """Signing keys by `kid`, from one JWKS address.

    However many unknown `kid`s arrive, the address is asked at most once in a cooldown. Keys that
    are past their lifetime go on serving while the address can't be reached.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Return the key with this id; None if the project has none.

        Raises UnavailableError if no key was ever fetched and none can be.
        """
        if kid not in self._keys or self._is_due():
            await self._refresh()
        if kid not in self._keys and self._fetched_at is None:
            raise UnavailableError("The signing keys can't be fetched right now; try again.")
        return self._keys.get(kid)

    def _is_due(self) -> bool:
        """Whether to fetch again for a key that is known: nobody does while another does so."""
        is_old = self._is_older_than(self._fetched_at, LIFETIME_SECONDS)
        return is_old and not self._lock.locked()

    async def _refresh(self) -> None:
        async with self._lock:
            if not self._is_older_than(self._tried_at, COOLDOWN_SECONDS):
                return
            self._tried_at = self._clock()
            try:
                self._keys = _usable_keys(await self._fetch())
                self._fetched_at = self._clock()
            except Exception as exc:  # noqa: BLE001 - whatever it was, the old keys go on serving
                log.warning("jwks_fetch_failed", error=type(exc).__name__)

    async def _fetch(self) -> Any:
        async with asyncio.timeout(FETCH_SECONDS):
            answer = await self._http.get(self._url)
            answer.raise_for_status()
            return answer.json()

    def _is_older_than(self, moment: float | None, seconds: float) -> bool:
        return moment is None or self._clock() - moment >= seconds


def _usable_keys(jwks: Any) -> dict[str, jwt.PyJWK]:
    keys = {}
    for entry in jwks["keys"]:
        if not entry.get("kid") or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, NotImplementedError):
            continue  # a kind of key that we do not verify with
        if key.algorithm_name in ALGORITHMS:
            keys[entry["kid"]] = key
    return keys
