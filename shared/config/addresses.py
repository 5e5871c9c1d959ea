"""What the address of a project says of where it runs."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_hosted(url: str) -> bool:
    """Return whether Supabase runs it."""
    return _host(url).endswith(".supabase.co")


def is_local(url: str) -> bool:
    """Return whether it runs on this machine, under the address that Auth knows itself by."""
    host = _host(url)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
