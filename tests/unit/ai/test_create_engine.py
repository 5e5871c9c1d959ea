"""Settings become an engine at start-up, or one clear line."""

import sys

import pytest
from pydantic import SecretStr

from shared.ai import engine_for
from shared.ai.model.create import create_model
from shared.config import ConfigurationError, Settings
from tests.support.scripted_engine import record
from tests.support.unit_settings import unit_settings

KEY = SecretStr("sk-canary-1234")
LOCAL = "http://127.0.0.1:9/v1"


def settings_of(model: str, base_url: str | None = None) -> Settings:
    return unit_settings(mega_mind_model=model, mega_mind_base_url=base_url, mega_mind_api_key=KEY)


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


async def test_no_model_means_the_offline_engine() -> None:
    """The default needs no key, and keeps the limits."""
    engine = engine_for(unit_settings(max_reply_chars=20))
    result = (await record(engine)).result
    assert engine.name == result.engine == "offline"
    assert (len(result.message), result.finish_reason) == (20, "length")


@pytest.mark.parametrize(
    "model", ["openai:gpt-5", "anthropic:claude-sonnet-4-5", "google:gemini-3"]
)
def test_a_models_engine_is_named_after_it(model: str) -> None:
    """A reply's metadata can say which model wrote it."""
    assert engine_for(settings_of(model)).name == model


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("llama3.2", "openai", "llama3.2"),
        ("qwen2.5:7b", "openai", "qwen2.5:7b"),
        ("openai:my-model", "openai", "my-model"),
        ("openai-chat:my-model", "openai", "my-model"),
        ("ollama:llama3.2:1b", "ollama", "llama3.2:1b"),
    ],
)
def test_a_base_url_means_an_openai_compatible_server(model: str, provider: str, name: str) -> None:
    """Local servers are reached by Chat Completions, with no key needed."""
    built = create_model(settings_of(model, LOCAL), model)
    assert (built.system, built.model_name) == (provider, name)
    assert "ResponsesModel" not in type(built).__name__
    assert str(built.base_url).startswith(LOCAL)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-5", None),
        ("nonsense:model", None),
        ("openai:", None),
        (":", None),
        ("ollama:llama3.2:", LOCAL),
        ("  ", None),
        ("openrouter:model", LOCAL),
        ("openai:model", "not a url"),
        ("openai:model", "ftp://127.0.0.1/v1"),
        ("openai:model", "https://"),
        ("openai:model", "http://[::1"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_clear_line(model: str, base_url: str | None) -> None:
    """Start-up fails with what is wrong, and without the key."""
    with pytest.raises(ConfigurationError, match="can't be used") as caught:
        engine_for(settings_of(model, base_url))
    assert len(str(caught.value).splitlines()) == 1
    assert KEY.get_secret_value() not in str(caught.value)


def test_a_librarys_error_is_shown_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a provider's library puts into its message, the key is not in ours."""

    def refuse(*_: object) -> None:
        raise ValueError(f"bad key {KEY.get_secret_value()}\nand more")

    monkeypatch.setattr("shared.ai.model.create.infer_model", refuse)
    with pytest.raises(ConfigurationError, match=r"bad key \*\*\*$"):
        engine_for(settings_of("openai:model"))


@pytest.mark.parametrize("model", ["openai:gpt-5", "anthropic:claude-sonnet-4-5"])
def test_a_missing_key_is_found_at_start(model: str) -> None:
    """Not by the first user who sends a message."""
    with pytest.raises(ConfigurationError, match="API_KEY"):
        engine_for(unit_settings(mega_mind_model=model))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.delitem(sys.modules, "shared.ai.model.engine", raising=False)
    monkeypatch.setitem(sys.modules, "pydantic_ai.direct", None)
    with pytest.raises(ConfigurationError, match=r"message-persistence\[model\]"):
        engine_for(settings_of("openai:gpt-5"))
