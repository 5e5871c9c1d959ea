"""A pydantic-ai model from a model string, an optional base URL and an optional key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from openai import OpenAIError
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import infer_model
from pydantic_ai.profiles import ModelProfile, merge_profile
from pydantic_ai.providers import Provider, infer_provider_class

if TYPE_CHECKING:
    from pydantic import SecretStr
    from pydantic_ai.models import Model

    from ...config import Settings

# Servers that speak OpenAI's protocol have its Chat Completions, seldom its Responses.
_COMPATIBLE: Final = "openai-chat"
# pydantic-ai takes a tag for reasoning wherever it stands in a reply: we read them ourselves.
_NO_TAGS: Final = ("\x00<think>", "\x00</think>")


def create_model(settings: Settings, model: str) -> Model:
    """Return the model that a string like `provider:name` stands for.

    With a base URL, `openai:name` and a bare `name` (also `qwen:7b`) mean an OpenAI-compatible
    server. Raise ValueError, in one line, where the string, the URL or the key doesn't do.
    """
    base_url, api_key = settings.mega_mind_base_url, settings.mega_mind_api_key
    try:
        _check(model, base_url)
        model_id = _compatible_id(model) if base_url else model
        created = infer_model(model_id, lambda name: _provider(name, base_url, api_key))
    except (UserError, OpenAIError, ValueError, TypeError, ImportError) as exc:
        raise ValueError(f"The model {model!r} can't be used: {_reason(exc, api_key)}") from None
    created.profile = merge_profile(created.profile, ModelProfile(thinking_tags=_NO_TAGS))
    return created


def _check(model: str, base_url: str | None) -> None:
    if not model.rpartition(":")[2].strip():
        raise ValueError("it names no model; write `provider:name`.")
    if base_url:
        url = urlsplit(base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("the base URL must start with http:// or https:// and name a host.")


def _compatible_id(model: str) -> str:
    provider, separator, name = model.partition(":")
    if separator and provider in {"openai", "openai-chat", "openai-responses"}:
        return f"{_COMPATIBLE if provider == 'openai' else provider}:{name}"
    return model if separator and _is_provider(provider) else f"{_COMPATIBLE}:{model}"


def _is_provider(name: str) -> bool:
    try:
        infer_provider_class(name)
    except ValueError:
        return False
    except ImportError:
        return True
    return True


def _provider(name: str, base_url: str | None, api_key: SecretStr | None) -> Provider[Any]:
    given = {
        "base_url": base_url,
        "api_key": api_key.get_secret_value() if api_key is not None else None,
    }
    return infer_provider_class(name)(**{key: value for key, value in given.items() if value})


def _reason(exc: Exception, api_key: SecretStr | None) -> str:
    """Return the first line of the error, without the key."""
    line = (str(exc).splitlines() or [type(exc).__name__])[0]
    secret = api_key.get_secret_value() if api_key is not None else ""
    return line.replace(secret, "***") if secret else line
