"""What can be observed of a running process: spans, counts and measures, off unless switched on.

`span`, `count` and `measure` are all that other modules know. Names and attributes are words of
ours: text of a user, tokens and keys have no way in.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..config import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..config import Settings
    from .otlp import OtlpBackend

SpanName: TypeAlias = Literal["request", "store", "engine"]
CountName: TypeAlias = Literal["turns.begun", "turns.ended"]
MeasureName: TypeAlias = Literal[
    "request.duration", "store.duration", "engine.duration", "turn.first_text"
]
Attributes: TypeAlias = dict[str, str | int]

DURATIONS: dict[SpanName, MeasureName] = {
    "request": "request.duration",
    "store": "store.duration",
    "engine": "engine.duration",
}


_backend: OtlpBackend | None = None


def start(settings: Settings) -> None:
    """Switch telemetry on where the settings name a collector.

    Raises ConfigurationError if the extra that it needs isn't installed.
    """
    global _backend
    if _backend is not None or settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        from .otlp import OtlpBackend
    except ImportError as exc:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra `telemetry`: pip install '.[telemetry]'"
        ) from exc
    _backend = OtlpBackend(settings)


def stop() -> None:
    """Send what is left, and switch telemetry off."""
    global _backend
    if _backend is not None:
        _backend.shutdown()
        _backend = None


@contextmanager
def span(
    name: SpanName, *, headers: Mapping[str, str] | None = None, **attributes: str | int
) -> Iterator[Attributes]:
    """Record a span around what happens inside, and its duration as a measure.

    More attributes may be put into what is yielded. Where an exception leaves it, its type is one.
    `headers` are a request's: their `traceparent` is what the span belongs to.
    """
    if _backend is None:
        yield attributes
        return
    started = time.monotonic()
    try:
        with _backend.span(name, attributes, headers or {}):
            try:
                yield attributes
            except BaseException as exc:
                attributes.setdefault("error", type(exc).__name__)
                raise
    finally:
        measure(DURATIONS[name], time.monotonic() - started, **attributes)


def count(name: CountName, **attributes: str | int) -> None:
    """Add one to a counter."""
    if _backend is not None:
        _backend.count(name, attributes)


def measure(name: MeasureName, seconds: float, **attributes: str | int) -> None:
    """Add a duration to a histogram."""
    if _backend is not None:
        _backend.measure(name, seconds, attributes)
