"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, decoded."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """What arrived: raw bodies, headers, spans, and the last export of each metric."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    metrics: dict[str, list[tuple[dict[str, Any], float]]] = field(default_factory=dict)

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name, oldest first."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def total(self, metric: str, **attributes: Any) -> float:
        """Return how much (how many, of a histogram) was sent with these attributes."""
        points = self.metrics.get(f"message_persistence.{metric}", [])
        return sum(value for sent, value in points if attributes.items() <= sent.items())

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep one export."""
        self.headers.append(headers)
        body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.bodies.append(body)
        if path == "/v1/traces":
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services.add(values(of_resource.resource.attributes)["service.name"])
                for of_scope in of_resource.scope_spans:
                    self.spans += of_scope.spans
            return
        for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    self.metrics[metric.name] = [
                        *((values(p.attributes), p.as_int) for p in metric.sum.data_points),
                        *((values(p.attributes), p.count) for p in metric.histogram.data_points),
                    ]


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as plain values."""

    def plain(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: plain(pair) for pair in attributes}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
