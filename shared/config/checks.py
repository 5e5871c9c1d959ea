"""What has to hold between settings; each names the setting that it is asked of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationInfo


def says_whose_stores(value: str | None, info: ValidationInfo) -> str | None:
    """Refuse several stores without a function that says whose each is, or beside one."""
    given = {name for name in info.data if name.startswith("supabase_db_") and info.data[name]}
    if (value is not None) != ("supabase_db_urls" in given):
        raise ValueError("goes with SUPABASE_DB_URLS, and neither without the other")
    if value is not None and len(given) > 1:
        raise ValueError("takes SUPABASE_DB_URLS alone, without any other of SUPABASE_DB_...")
    return value


def outlasts_heartbeats(value: int, info: ValidationInfo) -> int:
    """Refuse a lease that one missed heartbeat would end; a wrong setting has its own line."""
    least = 3 * info.data.get("heartbeat_seconds", 0) + info.data.get("store_timeout", 0)
    if value < least:
        raise ValueError(f"is less than 3 x HEARTBEAT_SECONDS + STORE_TIMEOUT, which is {least:g}")
    return value
