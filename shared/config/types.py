"""The types of settings: how each is read from an environment's text, and what it has to be."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode

if TYPE_CHECKING:
    from pydantic import ValidationInfo

KEY = re.compile(r"[!-~]+")  # what fits in a header
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelPrice(BaseModel):
    """What a million tokens of a model cost, in a currency of one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Price
    output: Price


def _http_url(value: str) -> str:
    """Accept an address that paths can be added to."""
    try:
        parts = urlsplit(value)
        has_valid_port = parts.port != 0
    except ValueError:
        has_valid_port = False
    is_plain = has_valid_port and not re.search(r"[\s?#]", value)
    if not is_plain or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    return value.rstrip("/")


def _postgres_url(value: Any) -> Any:
    """Accept a URL of libpq's, whose password no error repeats, or the word for none."""
    if not isinstance(value, str):
        return value
    url = value.strip()
    if url == "off":
        return None
    if not url.startswith(("postgres://", "postgresql://")):
        raise ValueError("is not a postgresql:// URL")
    return url


def _named_urls(value: Any) -> Any:
    """Accept a JSON object of URLs, each by the name of its store."""
    try:
        urls = json.loads(value) if isinstance(value, str) else value
        return {name: _postgres_url(url) for name, url in urls.items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError('is not JSON such as {"one": "postgresql://..."}') from None


def _keys_from(value: Any) -> tuple[Any, ...]:
    """Accept one key, or hosted functions' JSON object of named keys."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    keys: list[Any] = [value.strip()]
    if value.lstrip().startswith("{"):
        try:
            keys = list(json.loads(value).values())
        except json.JSONDecodeError:
            raise ValueError("is neither a key nor a JSON object of keys") from None
    # A blank one would let in whoever sends a blank one.
    if not keys or not all(isinstance(key, str) and KEY.fullmatch(key) for key in keys):
        raise ValueError("holds no key")
    return tuple(keys)


def _first_key(value: Any) -> Any:
    return _keys_from(value)[0]


def _prices_from(value: Any) -> Any:
    try:
        prices = json.loads(value) if isinstance(value, str) else value
        return {name: ModelPrice.model_validate(price) for name, price in prices.items()}
    except (ValueError, AttributeError):
        raise ValueError('is not JSON such as {"model": {"input": 1, "output": 2}}') from None


def _split(value: Any) -> Any:
    """Split what is separated by commas."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _secrets_from(value: Any) -> Any:
    if value and not _split(value):  # a lone comma must not open the door
        raise ValueError("holds no secret")
    return _split(value)


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


LiveDeltas = Literal["all", "others", "off"]
Seconds = Annotated[float, Field(gt=0, le=3600)]
PostgresUrl = Annotated[SecretStr | None, BeforeValidator(_postgres_url)]
NamedUrls = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_named_urls)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
FirstKey = Annotated[SecretStr, BeforeValidator(_first_key)]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys_from)]
LongSecrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=32)], ...], NoDecode, BeforeValidator(_secrets_from)
]
Prices = Annotated[dict[str, ModelPrice], NoDecode, BeforeValidator(_prices_from)]
