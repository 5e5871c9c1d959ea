"""Settings: where they come from, and the one line that a wrong one gets."""

from pathlib import Path

import pytest

from shared.config import ConfigurationError, Settings, load_settings
from tests.support.unit_settings import ENVIRONMENT, PUBLISHABLE_KEY, SECRET_KEY, URL


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no settings at all, in an empty folder."""
    for name in [*Settings.model_fields, *ALIASES]:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


ALIASES = [
    "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY",
    "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY",
]  # fmt: skip


def load(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> Settings:
    """Load the good settings with these changed; None leaves one out."""
    for name, value in {**ENVIRONMENT, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return load_settings()


def secrets_of(settings: Settings) -> list[str]:
    """Return the secret keys in the clear."""
    return [key.get_secret_value() for key in settings.supabase_secret_keys]


def test_three_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others have defaults."""
    settings = load(monkeypatch)
    assert settings.supabase_url == URL
    assert settings.jwt_audience == "authenticated"
    assert settings.supabase_jwt_secret is None
    assert settings.mega_mind_model is None
    assert settings.cors_origins == ("*",)
    assert settings.max_body_bytes == 8 * 1024 * 1024


def test_every_missing_setting_is_named_in_one_line() -> None:
    """By the name one sets it with."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value) == (
        "SUPABASE_URL is missing; SUPABASE_PUBLISHABLE_KEY is missing;"
        " SUPABASE_SECRET_KEY is missing (see .env.example)"
    )


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_an_empty_setting_is_a_missing_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As an env file that was only half filled in has it."""
    with pytest.raises(ConfigurationError, match=f"^{name} is missing \\(see .env.example\\)$"):
        load(monkeypatch, **{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SUPABASE_URL", "project.example", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "ftp://project.example", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://[::1", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://host:port", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://host:99999", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://a host", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://host?x=1", "is not an http\\(s\\) URL"),
        ("SUPABASE_URL", "http://host#x", "is not an http\\(s\\) URL"),
        ("SUPABASE_PUBLISHABLE_KEY", " ", "holds no key"),
        ("SUPABASE_SECRET_KEY", "  ", "holds no key"),
        ("SUPABASE_SECRET_KEY", "two words", "holds no key"),
        ("SUPABASE_SECRET_KEY", "schlüssel", "holds no key"),
        ("SUPABASE_SECRET_KEY", "{}", "holds no key"),
        ("SUPABASE_SECRET_KEY", '{"default": ""}', "holds no key"),
        ("SUPABASE_SECRET_KEY", '{"default": "good", "next": " "}', "holds no key"),
        ("SUPABASE_SECRET_KEY", '{"default": 5}', "holds no key"),
        ("SUPABASE_SECRET_KEY", '{"default": ', "is neither a key nor a JSON object of keys"),
        ("SUPABASE_JWT_SECRET", "x" * 31, ".*32.*"),
        ("ENGINE_TIMEOUT", "0", ".*greater than 0"),
        ("ENGINE_TIMEOUT", "-1", ".*greater than 0"),
        ("ENGINE_TIMEOUT", "nan", ".*"),
        ("ENGINE_TIMEOUT", "inf", ".*"),
        ("STORE_TIMEOUT", "soon", ".*valid number.*"),
        ("STORE_TIMEOUT", "3601", ".*3600"),
        ("REALTIME_TIMEOUT", "0", ".*greater than 0"),
        ("REALTIME_EVENTS_PER_SECOND", "0", ".*greater than 0"),
        ("LIVE_DELTAS", "some", ".*'all', 'others' or 'off'"),
        ("MAX_BODY_BYTES", "0", ".*greater than 0"),
        ("MAX_BODY_BYTES", "8MB", ".*valid integer.*"),
        ("MAX_REPLY_CHARS", "-1", ".*greater than 0"),
        ("HISTORY_TOKENS", "-1", ".*greater than or equal to 0"),
        ("HISTORY_TOKENS", "10000001", ".*10000000"),
        ("LOG_LEVEL", "loud", ".*'debug', 'info', 'warning' or 'error'"),
        ("MODEL_PRICES", "cheap", "is not JSON such as .*"),
        ("MODEL_PRICES", "[]", "is not JSON such as .*"),
        ("MODEL_PRICES", '{"m": 5}', "is not JSON such as .*"),
        ("MODEL_PRICES", '{"m": {"input": 1}}', "is not JSON such as .*"),
        ("MODEL_PRICES", '{"m": {"input": 1, "output": -1}}', "is not JSON such as .*"),
        ("MODEL_PRICES", '{"m": {"input": 1, "output": NaN}}', "is not JSON such as .*"),
        ("ALLOW_ANONYMOUS_DEMO", "perhaps", ".*valid boolean.*"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    """It names the setting and what is wrong with it, and never repeats a key."""
    with pytest.raises(ConfigurationError, match=f"^{name} {reason} \\(see .env.example\\)$") as e:
        load(monkeypatch, **{name: value})
    assert "\n" not in str(e.value)
    assert not ("KEY" in name and "good" in str(e.value))


def test_prices_are_read_by_the_models_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million tokens in and out; without the setting there are none."""
    priced = load(monkeypatch, MODEL_PRICES='{"openai:m": {"input": 1.25, "output": 10}}')
    assert priced.model_prices["openai:m"].model_dump() == {"input": 1.25, "output": 10.0}
    monkeypatch.delenv("MODEL_PRICES")
    assert load(monkeypatch).model_prices == {}


def test_several_wrong_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one start is enough to hear of them."""
    with pytest.raises(ConfigurationError) as caught:
        load(monkeypatch, SUPABASE_URL="x", STORE_TIMEOUT="x", SUPABASE_SECRET_KEY=None)
    message = str(caught.value)
    assert all(name in message for name in ("SUPABASE_URL", "STORE_TIMEOUT", "SUPABASE_SECRET_KEY"))


def test_hosted_functions_keys_are_read_from_their_json_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All secret keys count, the first is ours; of the publishable ones the first is enough."""
    settings = load(
        monkeypatch,
        SUPABASE_PUBLISHABLE_KEY=None,
        SUPABASE_PUBLISHABLE_KEYS='{"default": "sb_publishable_1", "web": "sb_publishable_2"}',
        SUPABASE_SECRET_KEY=None,
        SUPABASE_SECRET_KEYS=' {"default": "sb_secret_1", "next": "sb_secret_2"}',
    )
    assert settings.supabase_publishable_key.get_secret_value() == "sb_publishable_1"
    assert secrets_of(settings) == ["sb_secret_1", "sb_secret_2"]
    assert settings.secret_key.get_secret_value() == "sb_secret_1"


def test_older_projects_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The anon and service_role keys, where the newer ones aren't set; else those win."""
    settings = load(
        monkeypatch,
        SUPABASE_PUBLISHABLE_KEY=None,
        SUPABASE_ANON_KEY="anon",
        SUPABASE_SECRET_KEY=None,
        SUPABASE_SERVICE_ROLE_KEY="service",
    )
    assert settings.supabase_publishable_key.get_secret_value() == "anon"
    assert secrets_of(settings) == ["service"]
    newer = load(monkeypatch, SUPABASE_ANON_KEY="anon", SUPABASE_SERVICE_ROLE_KEY="service")
    assert newer.supabase_publishable_key.get_secret_value() == PUBLISHABLE_KEY
    assert secrets_of(newer) == [SECRET_KEY]


def test_env_files_are_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """First the environment, then .env.local, then .env."""
    named = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    (tmp_path / ".env").write_text(
        "\n".join([*named, "LOG_LEVEL=error", "HISTORY_TOKENS=1", "STORE_TIMEOUT=1", "OTHER=x"])
    )
    (tmp_path / ".env.local").write_text("HISTORY_TOKENS=2\nSTORE_TIMEOUT=2\n")
    monkeypatch.setenv("STORE_TIMEOUT", "3")
    settings = load_settings()
    assert (settings.log_level, settings.history_tokens, settings.store_timeout) == ("error", 2, 3)


OWN = "{url}/auth/v1"


@pytest.mark.parametrize(
    ("url", "issuer", "required"),
    [
        ("http://127.0.0.1:54321", OWN, False),
        ("http://localhost:54321", OWN, False),
        ("http://[::1]:54321", OWN, False),
        ("http://127.8.8.8", OWN, False),
        ("https://project.supabase.co", OWN, True),
        ("https://supabase.co.example", None, False),
        ("http://10.0.0.5:8000", None, False),
        ("http://localhost.example", None, False),
        ("http://127.0.0.1.example", None, False),
        ("http://kong:8000", None, False),
    ],
)
def test_the_issuer_is_required_of_hosted_projects_and_free_on_self_hosted_stacks(
    monkeypatch: pytest.MonkeyPatch, url: str, issuer: str | None, required: bool
) -> None:
    """Auth on this machine may leave it out; once JWT_ISSUER is set, nobody may."""
    settings = load(monkeypatch, SUPABASE_URL=f"{url}/")
    assert settings.supabase_url == url
    assert settings.expected_issuer == (issuer and issuer.format(url=url))
    assert settings.requires_issuer is required
    named = load(monkeypatch, SUPABASE_URL=url, JWT_ISSUER="https://auth.example")
    assert named.requires_issuer is True
    assert named.expected_issuer == "https://auth.example"


def test_origins_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks around them and empty ones don't count."""
    settings = load(monkeypatch, CORS_ORIGINS=" https://a.example ,https://b.example,, ")
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("set_to", [{"LEASE_SECONDS": "26"}, {}], ids=["set", "default"])
def test_a_lease_that_one_missed_heartbeat_would_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, set_to: dict[str, str]
) -> None:
    """Three heartbeats and a call to the store fit in; the line says what is wrong with which."""
    slow = {"HEARTBEAT_SECONDS": "6", **set_to}
    assert load(monkeypatch, **slow).lease_seconds == 26
    with pytest.raises(ConfigurationError, match=r"^LEASE_SECONDS is less than .* 26\.5 "):
        load(monkeypatch, **slow, STORE_TIMEOUT="8.5")


@pytest.mark.promise("secrets")
def test_settings_never_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when printed, as a log or a traceback would."""
    settings = load(monkeypatch, SUPABASE_JWT_SECRET="j" * 40, MEGA_MIND_API_KEY="model-key")
    shown = repr(settings) + str(settings)
    assert not any(
        secret in shown for secret in (SECRET_KEY, PUBLISHABLE_KEY, "j" * 40, "model-key")
    )
