"""The only reader of the environment: every setting, its default, and what a wrong one says."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from .problems import ConfigurationError, one_line
from .types import (
    FirstKey,
    HttpUrl,
    Keys,
    Listed,
    LiveDeltas,
    LongSecrets,
    NamedUrls,
    PostgresUrl,
    Prices,
    Seconds,
    is_hosted,
    is_local,
    outlasts_heartbeats,
    says_whose_stores,
)

__all__ = ["ConfigurationError", "Settings", "load_settings"]


class Settings(BaseSettings):
    """Settings from the environment, then `.env.local`, then `.env`.

    Durations are in seconds, sizes in bytes.
    """

    model_config = SettingsConfigDict(
        env_file=(".env", ".env.local"), extra="ignore", env_ignore_empty=True, frozen=True
    )

    supabase_url: HttpUrl = Field(description="The project's URL, without a path.")
    supabase_publishable_key: FirstKey = Field(
        validation_alias=AliasChoices(
            "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY"
        ),
        description="The public API key.",
    )
    supabase_secret_keys: Keys = Field(
        min_length=1,
        validation_alias=AliasChoices(
            "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"
        ),
        description="The service's API key, or several while one replaces another.",
    )
    database_schema: str = Field(
        default="public",
        pattern="^[a-z_][a-z0-9_]*$",
        description="The schema that `python -m shared.install` was given, if not `public`.",
    )
    supabase_db_url: PostgresUrl = Field(
        default=None,
        description="The project's Postgres, or a pooler in front of it: the store is called there"
        " instead of over the Data API, with the extra `database`. Unset or `off`: not.",
    )
    supabase_db_read_url: PostgresUrl = Field(
        default=None,
        description="A replica of it, which answers lists, searches, exports of a conversation,"
        " and its pages if it has what the caller has `seen`; else the store is asked. Unset or"
        " `off`: none.",
    )
    supabase_db_urls: NamedUrls = Field(
        default_factory=dict,
        description="Several stores in the place of SUPABASE_DB_URL, each by a name of its own:"
        ' JSON such as `{"one": "postgresql://..."}`. STORE_OF says whose is which.',
    )
    store_of: str | None = Field(
        default=None,
        validate_default=True,
        description="With SUPABASE_DB_URLS: a function as `package.module:name`, from a user's id"
        " to the name of their store.",
    )
    supabase_jwt_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Verifies HS256 tokens. Leave unset if tokens are signed asymmetrically.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        description="The `iss` that a token must name; unset: a hosted project's own Auth; "
        "on a self-hosted stack any or none, since the signature says whose token it is.",
    )
    jwt_audience: str = Field(default="authenticated", description="The expected `aud`.")
    allow_anonymous_demo: bool = Field(
        default=False, description="Let anyone ask the AI without storing anything."
    )

    mega_mind_engine: str | None = Field(
        default=None, description="An AI of your own, as `package.module:name`; unset: the model."
    )
    mega_mind_model: str | None = Field(
        default=None, description="A model such as `openai:gpt-5`; unset means the offline engine."
    )
    mega_mind_base_url: str | None = Field(
        default=None, description="An OpenAI-compatible server, such as Ollama."
    )
    mega_mind_api_key: SecretStr | None = Field(default=None, description="The provider's key.")
    mega_mind_system_prompt: str | None = Field(
        default=None,
        description="What the model is told before the conversation; unset: to be a software"
        " engineer who puts files into fenced blocks with a path.",
    )
    mega_mind_classification: Literal["model", "rules"] = Field(
        default="model",
        description="Who says what a request is about: the model, in a short call beside the"
        " reply, or fixed rules.",
    )
    model_prices: Prices = Field(
        default_factory=dict, description="Prices of a million tokens, by the engine's name."
    )
    offline_delay: float = Field(
        default=0, ge=0, le=10, description="Pause of the offline engine before each word."
    )
    engine_timeout: Seconds = Field(default=120, description="Limit of one AI run.")
    max_reply_chars: int = Field(
        default=2_000_000, gt=0, description="A longer reply is cut, as is one of two megabytes."
    )
    history_tokens: int = Field(
        default=100_000,
        ge=0,
        le=10_000_000,
        description="The most that the AI is given of a conversation, in estimated tokens.",
    )
    summary_tokens: int = Field(
        default=2_000,
        ge=0,
        le=1_000_000,
        description="The most that a summary takes; 0 makes none.",
    )

    store_timeout: Seconds = Field(default=8, description="Deadline of one call to the store.")
    store_connections: int = Field(
        default=10,
        ge=3,
        le=1000,
        description="Calls to the store that one process makes at a time; with SUPABASE_DB_URL its"
        " connections to Postgres. PostgREST's pool, which has ten by default, serves the whole"
        " project.",
    )
    realtime_timeout: Seconds = Field(
        default=0.5, description="The most that live events may delay a turn."
    )
    realtime_events_per_second: float = Field(
        default=25,
        gt=0,
        le=100_000,
        description="Live events of the whole project, of all its processes together; with more"
        " turns text comes in larger pieces. Realtime counts each once and once more a listener.",
    )
    live_deltas: LiveDeltas = Field(
        default="all",
        description="Whose text goes over Realtime as it is written: of `all` turns, of the"
        " `others` than those asked for as a stream, or of none (`off`).",
    )
    heartbeat_seconds: Seconds = Field(
        default=1, description="How often a running turn writes its draft and renews its lease."
    )
    lease_seconds: int = Field(
        default=26,
        gt=0,
        le=3600,
        validate_default=True,
        description="How long a worker owns a turn after each heartbeat.",
    )
    store_retry_seconds: Seconds = Field(
        default=600, description="How long a finished reply is kept while it can't be stored."
    )
    retry_wait_seconds: Seconds = Field(
        default=20, description="How long a retry waits for its turn that runs elsewhere."
    )
    drain_seconds: Seconds = Field(
        default=25, description="How long running turns may take to end when the process is to."
    )
    max_concurrent_turns: int = Field(
        default=256,
        gt=0,
        description="Turns that one process runs at a time; sixteen of one user at most.",
    )
    turns_per_minute: int | None = Field(
        default=None, ge=0, description="Turns that a user may begin in a minute; unset: any."
    )
    turns_per_day: int | None = Field(
        default=None, ge=0, description="Turns that a user may begin in a day; unset: any."
    )
    tokens_per_day: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that a user's turns and their summaries may take of the AI in a day, "
        "before no more turn begins; unset: any.",
    )
    bytes_per_day: int | None = Field(
        default=None,
        ge=0,
        description="Bytes that a user may write in a day, over the Data API too: messages, "
        "titles, metadata, files to import. The database keeps the number: 0 lifts it, unset "
        "changes nothing there.",
    )
    crash_point: str | None = Field(
        default=None, description="For tests alone: where in a turn the process kills itself."
    )
    pdf_timeout: Seconds = Field(default=140, description="The most that a PDF may take.")
    pdf_memory_bytes: int = Field(
        default=2 * 1024**3, ge=512 * 1024**2, description="Address space of the PDF's typesetter."
    )
    max_body_bytes: int = Field(default=8 * 1024 * 1024, gt=0, description="Largest request body.")
    max_import_bytes: int = Field(
        default=64 * 1024 * 1024, gt=0, description="Largest file that import-conversation takes."
    )
    cors_origins: Listed = Field(
        default=("*",), description="Origins that browsers may call from, separated by commas."
    )
    forward_secrets: LongSecrets = Field(
        default=(),
        description="Only requests that a forwarder signed with one of these, separated by "
        "commas, are served; unset: all are.",
    )
    api_docs: bool = Field(
        default=True,
        description="Serve `openapi.json` and the interactive documentation, `docs`, to anyone.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    otel_exporter_otlp_endpoint: HttpUrl | None = Field(
        default=None, description="An OTLP/HTTP collector for traces and metrics; unset: off."
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        default=None, description="Headers for the collector: `name=value`, separated by commas."
    )
    otel_service_name: str = Field(
        default="message-persistence", description="What the collector calls this service."
    )
    otel_metric_export_interval: int = Field(
        default=60_000, gt=0, description="Milliseconds between two exports of metrics."
    )
    freezes_between_requests: bool = Field(
        default=False,
        description="The host freezes a process between requests: a response ends only once the"
        " turns that it began have. On AWS Lambda always so.",
    )
    aws_lambda_function_name: str | None = Field(
        default=None, description="Set by AWS Lambda itself; switches FREEZES_BETWEEN_REQUESTS on."
    )

    _stores = field_validator("store_of")(says_whose_stores)
    _lease = field_validator("lease_seconds")(outlasts_heartbeats)

    @cached_property
    def expected_issuer(self) -> str | None:
        """The `iss` that a token must name; None for any.

        A self-hosted Auth names the address that it has outside, which isn't known here, and one
        from before May 2026 names none.
        """
        own = f"{self.supabase_url}/auth/v1"
        return self.jwt_issuer or (
            own if is_hosted(self.supabase_url) or is_local(self.supabase_url) else None
        )

    @cached_property
    def requires_issuer(self) -> bool:
        """Whether a token without any `iss` is refused."""
        return self.jwt_issuer is not None or is_hosted(self.supabase_url)

    @cached_property
    def is_frozen_between_requests(self) -> bool:
        """Whether nothing runs here once a response has ended."""
        return self.freezes_between_requests or self.aws_lambda_function_name is not None

    @cached_property
    def secret_key(self) -> SecretStr:
        """The key the service itself uses: the newest."""
        return self.supabase_secret_keys[0]


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raise ConfigurationError with one line that names each wrong one."""
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        raise ConfigurationError(one_line(exc)) from None
