"""Sends telemetry to an OpenTelemetry collector over OTLP/HTTP.

Its providers are its own and not the process's, so that no library that happens to know
OpenTelemetry adds what it sees: bodies, queries, exception messages.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import context as current
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.metrics import Counter, Histogram

    from ..config import Settings
    from .telemetry import Attributes, CountName, MeasureName, SpanName

ALLOWED = frozenset({"method", "route", "status", "function", "engine", "outcome", "error"})
NAME = "message_persistence"
TRACEPARENT = "traceparent"
KINDS: Mapping[SpanName, SpanKind] = {
    "request": SpanKind.SERVER,
    "store": SpanKind.CLIENT,
    "engine": SpanKind.INTERNAL,
}
SEND_SECONDS = 2  # for one export with its retries: a stop waits for the last of each kind
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class OtlpBackend:
    """A tracer and a meter that export to the collector in the settings."""

    def __init__(self, settings: Settings) -> None:
        url = str(settings.otel_exporter_otlp_endpoint).rstrip("/")
        headers = _headers(settings)
        resource = Resource.create({"service.name": settings.otel_service_name})
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(f"{url}/v1/traces", headers=headers, timeout=SEND_SECONDS)
            )
        )
        self._metrics = MeterProvider(
            [
                PeriodicExportingMetricReader(
                    OTLPMetricExporter(f"{url}/v1/metrics", headers=headers, timeout=SEND_SECONDS),
                    export_interval_millis=settings.otel_metric_export_interval,
                )
            ],
            resource=resource,
            shutdown_on_exit=False,
        )
        self._tracer = self._traces.get_tracer(NAME)
        meter = self._metrics.get_meter(NAME)

        @cache
        def counter(name: CountName) -> Counter:
            return meter.create_counter(f"{NAME}.{name}", unit="{turn}")

        @cache
        def histogram(name: MeasureName) -> Histogram:
            return meter.create_histogram(
                f"{NAME}.{name}", unit="s", explicit_bucket_boundaries_advisory=SECONDS
            )

        self._counter, self._histogram = counter, histogram

    @contextmanager
    def span(
        self, name: SpanName, attributes: Attributes, headers: Mapping[str, str]
    ) -> Iterator[None]:
        """Record a span; the current one, or the one that `traceparent` names, is its parent."""
        # Not tracestate or baggage: they may hold whatever a caller puts in.
        carrier = {TRACEPARENT: headers[TRACEPARENT]} if TRACEPARENT in headers else {}
        parent = TraceContextTextMapPropagator().extract(carrier) if carrier else None
        token = current.attach(parent) if parent is not None else None
        try:
            # An exception's message may hold what a user wrote: its type is among the attributes.
            with self._tracer.start_as_current_span(
                name, kind=KINDS[name], record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    yield
                finally:
                    span.set_attributes(_allowed(attributes))
                    if "error" in attributes:
                        span.set_status(StatusCode.ERROR)
        finally:
            if token is not None:
                current.detach(token)

    def count(self, name: CountName, attributes: Attributes) -> None:
        """Add one."""
        self._counter(name).add(1, _allowed(attributes))

    def measure(self, name: MeasureName, seconds: float, attributes: Attributes) -> None:
        """Add a duration."""
        self._histogram(name).record(seconds, _allowed(attributes))

    def shutdown(self) -> None:
        """Send what is left."""
        self._traces.shutdown()
        self._metrics.shutdown(timeout_millis=SEND_SECONDS * 1000)


def _allowed(attributes: Attributes) -> Attributes:
    """Return what may leave this house: a mistaken attribute is left out."""
    return {name: value for name, value in attributes.items() if name in ALLOWED}


def _headers(settings: Settings) -> dict[str, str]:
    """Return the headers in `name=value,name=value`."""
    if settings.otel_exporter_otlp_headers is None:
        return {}
    pairs = settings.otel_exporter_otlp_headers.get_secret_value().split(",")
    return {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in pairs)}
