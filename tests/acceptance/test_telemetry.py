"""Telemetry: what a real collector is sent of a turn, and what it never is."""

import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from local.settings import ROOT
from local.stack import Stack
from tests.support.collector import Collector, running_collector, values
from tests.support.leaks import leaks
from tests.support.process import functions_process
from tests.support.proxy import proxy_to, replies
from tests.support.users import User

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


async def observed(
    stack: Stack, user: User, folder: Path, canary: str, **settings: str
) -> Collector:
    """Return what is sent of a turn, its replay, a load, a refusal and a store that is away."""
    with running_collector() as collector:
        async with (
            proxy_to(stack.settings.url) as proxy,
            functions_process(
                stack,
                folder,
                SUPABASE_URL=proxy.url,
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_EXPORTER_OTLP_HEADERS=f"x-tenant=one, authorization=Bearer {canary}",
                **settings,
            ) as process,
            process.client(user.token) as client,
        ):
            key = {"idempotency-key": canary}
            body = {"request": canary, "metadata": {"note": canary}}
            traced = {**key, "traceparent": TRACEPARENT, "tracestate": f"x={canary}"}
            first = await client.post("/mega-mind", json=body, headers=traced)
            await client.post("/mega-mind", json=body, headers=key)
            place = {"conversationId": first.json()["conversationId"]}
            await client.get("/load-conversation", params=place)
            await client.get("/conversations", params={"cursor": canary})
            await client.get(f"/{canary}")
            proxy.on("load_conversation", replies(502, canary.encode()))
            await client.get("/load-conversation", params=place)
            leak = {"code": "XX000", "message": canary, "details": canary, "hint": canary}
            proxy.on("begin_turn", replies(500, leak))
            await client.post("/mega-mind", json={"request": canary})
    return collector


def routes(collector: Collector) -> list[tuple[str, int]]:
    """Return each request's route and status, in order."""
    seen = [values(span.attributes) for span in collector.named("request")]
    return [(span["route"], span["status"]) for span in seen]


def children(collector: Collector, parent: Span) -> list[str]:
    """Return what a span led to, by the function or engine that it names."""
    return [
        values(span.attributes).get("function") or values(span.attributes)["engine"]
        for span in sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
        if span.parent_span_id == parent.span_id
    ]


@pytest.mark.promise("secrets", red="a request's path as an attribute")
async def test_a_collector_is_sent_turns_and_nobodys_words(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """Spans from the request through the store to the AI, metrics, and not one canary."""
    canary = f"canary{uuid.uuid4().hex}"
    collector = await observed(stack, user, tmp_path, canary)

    assert collector.services == {"message-persistence"}
    assert routes(collector)[1:] == [
        ("/mega-mind", 200), ("/mega-mind", 200), ("/load-conversation", 200),
        ("/conversations", 400), ("none", 404), ("/load-conversation", 503), ("/mega-mind", 503),
    ]  # fmt: skip
    turn, replay = collector.named("request")[1:3]
    assert children(collector, turn) == ["begin_turn", "offline", "complete_turn"]
    assert children(collector, replay) == ["begin_turn"]
    assert (turn.trace_id.hex(), turn.parent_span_id.hex()) == (TRACE, PARENT)
    assert replay.trace_id != turn.trace_id
    assert turn.trace_state == ""
    away = collector.named("request")[6]
    assert away.status.code == Status.STATUS_CODE_ERROR

    assert collector.total("turns.begun", outcome="started") == 1
    assert collector.total("turns.begun", outcome="replayed") == 1
    assert collector.total("turns.ended", outcome="completed", error="none") == 1
    assert collector.total("turn.first_text") == 1
    assert collector.total("engine.duration", engine="offline") == 1
    assert collector.total("store.duration", function="begin_turn") >= 3
    assert collector.total("store.duration", error="StoreUnavailableError") >= 2
    assert collector.total("request.duration", route="/mega-mind", status=200) == 2

    environment = stack.settings.environment()
    del environment["SUPABASE_URL"], environment["SUPABASE_DB_URL"]  # no secrets: one is `off`
    secrets = {"words": canary, "token": user.token, "user": user.id, **environment}
    for body in collector.bodies:
        assert leaks(body.decode("latin-1"), secrets) == []
    assert all(headers["x-tenant"] == "one" for headers in collector.headers)


async def test_a_collector_that_is_away_costs_no_turn(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """Nobody listens: the turn is stored all the same, and the process ends when it is asked to."""
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with (
        functions_process(stack, tmp_path, **nowhere) as process,
        process.client(user.token) as client,
    ):
        answer = await client.post("/mega-mind", json={"request": "Hello"})
    assert answer.json()["success"] is True
    assert process.process.returncode == -signal.SIGTERM


async def test_a_requests_id_is_found_in_its_row(user: User, db: psycopg.Connection) -> None:
    """From the client to the log and the row, and back with it; a turn without one has ours."""
    own = {"x-request-id": f"mine-{uuid.uuid4().hex}"}
    sent = await user.functions.post("/mega-mind", json={"request": "x"}, headers=own)
    found = db.execute(
        "select role, id::text from messages where metadata ->> 'requestId' = %s",
        (own["x-request-id"],),
    ).fetchall()
    assert found == [("user", sent.json()["userMessage"]["id"])]
    other = await user.send("y")
    assert other.json()["userMessage"]["metadata"]["requestId"] == other.headers["x-request-id"]


@pytest.mark.promise("deployment")
@pytest.mark.parametrize("app", ["app", "load_conversation"])
def test_telemetry_costs_nothing_where_it_is_off(app: str) -> None:
    """Neither the SDK nor the exporter is imported."""
    heavy = f"[m for m in sys.modules if m in {HEAVY!r}]"
    script = f"import sys; from functions.app import {app}; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


HEAVY = (
    "shared.observability.otlp",
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp",
    "requests",
    "google.rpc",
)
