"""Secrets stay secret: canaries as every key, token and text; every error is forced, and read."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from local.stack import Stack
from tests.support.leaks import leaks
from tests.support.process import FunctionsProcess, functions_process
from tests.support.proxy import (
    Behaviour,
    Exchange,
    Proxy,
    drops_the_answer,
    passes,
    proxy_to,
    replies,
    resets_mid_body,
)
from tests.support.tokens import claims_for, signed
from tests.support.users import User

STREAM = {"accept": "text/event-stream"}
SOMEWHERE_CLOSED = "http://127.0.0.1:9"


def canary(kind: str) -> str:
    """Return a string that is nowhere else."""
    return f"{kind}canary{uuid.uuid4().hex}"


@dataclass
class Canaries:
    """Every secret there is, each of its own, and what the caller says."""

    user_id: str
    secret_key: str = field(default_factory=lambda: canary("sb_secret_"))
    old_secret_key: str = field(default_factory=lambda: canary("sb_secret_"))
    publishable_key: str = field(default_factory=lambda: canary("sb_publishable_"))
    jwt_secret: str = field(default_factory=lambda: canary("jwt-"))
    model_key: str = field(default_factory=lambda: canary("sk-"))
    words: str = field(default_factory=lambda: canary("words-"))
    token: str = ""

    def __post_init__(self) -> None:
        self.token = signed(claims_for(self.user_id), self.jwt_secret)

    def secrets(self) -> dict[str, str]:
        """Return what may be in no answer and no log."""
        _, claims, signature = self.token.split(".")
        return {
            "secret key": self.secret_key,
            "old secret key": self.old_secret_key,
            "publishable key": self.publishable_key,
            "JWT secret": self.jwt_secret,
            "model key": self.model_key,
            "token's claims": claims,
            "token's signature": signature,
        }

    def settings(self, project: str, model: str) -> dict[str, str]:
        """Return the environment that has them all."""
        keys = {"new": self.secret_key, "old": self.old_secret_key}
        return {
            "SUPABASE_URL": project,
            "SUPABASE_SECRET_KEY": "",
            "SUPABASE_SECRET_KEYS": json.dumps(keys),
            "SUPABASE_PUBLISHABLE_KEY": self.publishable_key,
            "SUPABASE_JWT_SECRET": self.jwt_secret,
            "MEGA_MIND_MODEL": "openai:canary",
            "MEGA_MIND_BASE_URL": f"{model}/v1",
            "MEGA_MIND_API_KEY": self.model_key,
            "LOG_LEVEL": "debug",
            "REALTIME_TIMEOUT": "0.3",
            "STORE_TIMEOUT": "1.5",
            "STORE_RETRY_SECONDS": "2",
        }


def undisguised(real: dict[str, str]) -> Behaviour:
    """Pass calls on with the real keys in the canaries' place, so that the stack takes them."""

    async def behave(exchange: Exchange) -> None:
        exchange.headers = [(name, swapped(value)) for name, value in exchange.headers]
        await passes(exchange)

    def swapped(value: str) -> str:
        for false, true in real.items():
            value = value.replace(false, true)
        return value

    return behave


def echoes(status: int, **fields: object) -> Behaviour:
    """Answer with all that was sent, headers and body, in every field that an error has."""

    async def behave(exchange: Exchange) -> None:
        sent = json.dumps(exchange.headers) + exchange.body.decode("utf-8", "replace")
        said = {"message": sent, "details": sent, "hint": sent, "code": "XX000"}
        error = {"error": {"message": sent, "type": sent, "code": sent}}
        await replies(status, {**said, **error, **fields}, x_echo=sent.replace("\n", " "))(exchange)

    return behave


def completions(content: str) -> Behaviour:
    """Answer as a model that speaks OpenAI's protocol and streams: one piece of text, then done."""

    def chunk(delta: dict[str, str], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        piece = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: " + json.dumps({**piece, "choices": [choice]}).encode() + b"\n\n"

    body = chunk({"role": "assistant", "content": content}, None) + chunk({}, "stop")
    return replies(200, body + b"data: [DONE]\n\n", content_type="text/event-stream")


@dataclass
class Scene:
    """A running bundle whose project and model are in the test's hands."""

    canaries: Canaries
    process: FunctionsProcess
    client: httpx.AsyncClient
    project: Proxy
    model: Proxy
    answers: list[httpx.Response] = field(default_factory=list)

    async def ask(
        self, method: str = "POST", path: str = "/mega-mind", **parts: object
    ) -> httpx.Response:
        """Send a request, by default the canary's words for the AI, and keep the answer."""
        if path == "/mega-mind" and method == "POST" and not {"json", "content"} & parts.keys():
            parts["json"] = {"request": self.canaries.words}
        answer = await self.client.request(method, path, **parts)  # type: ignore[arg-type]
        self.answers.append(answer)
        return answer

    def events(self) -> set[str]:
        """Return the names of all that was logged."""
        return {line["event"] for line in self.process.lines()}


@asynccontextmanager
async def scene_of(stack: Stack, user: User, folder: Path) -> AsyncIterator[Scene]:
    """Run a bundle that knows nothing but canaries."""
    canaries = Canaries(user.id)
    environment = stack.settings.environment()
    real = {
        canaries.token: user.token,
        canaries.secret_key: environment["SUPABASE_SECRET_KEY"],
        canaries.publishable_key: environment["SUPABASE_PUBLISHABLE_KEY"],
    }
    async with proxy_to(stack.settings.url) as project, proxy_to(SOMEWHERE_CLOSED) as model:
        project.on_everything(undisguised(real))
        model.on_everything(completions("A reply."))
        settings = canaries.settings(project.url, model.url)
        async with (
            functions_process(stack, folder, **settings) as process,
            process.client(canaries.token) as client,
        ):
            client.headers["apikey"] = canaries.publishable_key
            yield Scene(canaries, process, client, project, model)


async def good_and_failing_turns(scene: Scene) -> None:
    """Turns that end well, and turns whose model says everything it knows in its errors."""
    good = await scene.ask()
    assert good.status_code == 200
    await scene.ask(headers=STREAM)
    for status in (400, 401, 403, 404, 429, 500, 503):
        scene.model.on_everything(echoes(status))
        failed = await scene.ask(headers=STREAM if status == 500 else {})
        assert failed.status_code == 200
    for broken in (replies(200, b"<html>"), resets_mid_body, drops_the_answer):
        scene.model.on_everything(broken)
        assert (await scene.ask()).status_code == 200
    scene.model.on_everything(completions("A reply."))


async def failing_store(scene: Scene, conversation_id: str) -> None:
    """A store whose errors hold the request: headers, keys, rows."""
    of = {"conversationId": conversation_id}
    leaky = {"code": "23505", "schema": scene.canaries.secret_key}
    for behaviour in (
        echoes(500),
        echoes(400, code="22P02"),
        echoes(409, **leaky),
        echoes(404, code="PGRST202"),
        echoes(403, code="42501"),
        echoes(401, code="PGRST301"),
        echoes(200),
        replies(200, {"outcome": scene.canaries.words, "conversation": scene.canaries.words}),
    ):
        for call in ("begin_turn", "load_conversation", "create_conversation"):
            scene.project.on(call, behaviour)
        await scene.ask()
        await scene.ask("GET", "/load-conversation", params=of)
        await scene.ask("POST", "/conversations", json={"title": scene.canaries.words})
    forget = ("begin_turn", "load_conversation", "create_conversation")
    real = scene.project._otherwise
    for call in forget:
        scene.project.on(call, real)
    scene.project.on("complete_turn", echoes(500))
    scene.project.on("broadcast", echoes(500))
    unstored = await scene.ask(headers={"idempotency-key": scene.canaries.words})
    assert unstored.status_code == 503
    scene.project.on("complete_turn", real)


async def bad_callers_and_bodies(scene: Scene) -> None:
    """Tokens and keys in the wrong place, bodies that don't parse, headers of all kinds."""
    canaries = scene.canaries
    for headers in (
        {"authorization": f"Bearer {canaries.token}x"},
        {"authorization": f"Basic {canaries.token}"},
        {"authorization": f"Bearer {canaries.secret_key}"},
        {"authorization": f"Bearer {canaries.jwt_secret}"},
        {"apikey": canaries.secret_key},
        {"x-request-id": canaries.words + "/"},
        {"idempotency-key": canaries.words * 20},
        {"content-type": canaries.words},
        {"accept": canaries.token},
        {"cookie": canaries.token},
    ):
        await scene.ask(headers=headers)
    json_type = {"content-type": "application/json"}
    for content in (
        f'{{"request": "{canaries.words}',
        f'{{"request": "{canaries.words}\\u0000"}}',
        f'{{"request": 1, "role": "{canaries.words}"}}',
        f'{{"request": "x", "projectId": "{canaries.token}"}}',
        f'{{"request": "x", "metadata": "{canaries.secret_key}"}}',
        f'{{"request": "x", "persistMessages": "{canaries.model_key}"}}',
    ):
        refused = await scene.ask(content=content.encode(), headers=json_type)
        assert refused.status_code == 400
    for place in ({"conversationId": canaries.token}, {"limit": canaries.secret_key}):
        await scene.ask("GET", "/load-conversation", params=place)
    await scene.ask("GET", "/conversations", params={"cursor": canaries.token[:150]})
    await scene.ask("GET", "/mega-mind", params={"turnId": canaries.words})
    await scene.ask("POST", "/cancel-turn", json={"turnId": str(uuid.uuid4())})


async def stopped_while_it_runs(scene: Scene) -> None:
    """A turn that is cancelled, one whose client hangs up, and a SIGTERM while one still runs."""
    release = asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        await release.wait()
        await completions("A late reply.")(exchange)

    scene.model.on_everything(waits)
    begun: list[str] = []
    for ending in ("cancel", "hang up"):
        body = {"request": scene.canaries.words}
        async with scene.client.stream("POST", "/mega-mind", json=body, headers=STREAM) as answer:
            lines = answer.aiter_lines()
            accepted = next(iter([line async for line in first(lines, "data: ")]))
            begun.append(json.loads(accepted.removeprefix("data: "))["turnId"])
        if ending == "cancel":
            await scene.ask("POST", "/cancel-turn", json={"turnId": begun[0]})
    scene.process.process.terminate()
    release.set()
    await asyncio.wait_for(scene.process.process.wait(), timeout=60)


async def first(lines: AsyncIterator[str], start: str) -> AsyncIterator[str]:
    """Yield the first line that begins so."""
    async for line in lines:
        if line.startswith(start):
            yield line
            return


@pytest.mark.promise(
    "secrets", red="exceptions logged with their text; the store's own message passed on"
)
async def test_no_canary_is_in_any_log_line_or_any_answer(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """At debug level, through every kind of turn and error; the caller alone sees their words."""
    async with scene_of(stack, user, tmp_path) as scene:
        await good_and_failing_turns(scene)
        conversation_id = scene.answers[0].json()["conversationId"]
        await failing_store(scene, conversation_id)
        await bad_callers_and_bodies(scene)
        await stopped_while_it_runs(scene)
    secrets = scene.canaries.secrets()
    everything = secrets | {"words": scene.canaries.words}
    log = scene.process.log.read_text()
    assert [line for line in log.splitlines() if leaks(line, everything)] == []
    for answer in scene.answers:
        text = answer.text + str(answer.headers.multi_items())
        assert leaks(text, secrets) == [], (answer.status_code, answer.request.url.path)
        # A reply that couldn't be stored, and the name of a field, are the caller's own words too.
        if answer.is_error and answer.status_code != 503:
            assert leaks(text, everything) == [], (answer.status_code, text)
    statuses = {answer.status_code for answer in scene.answers}
    assert {200, 400, 401, 403, 404, 415, 500, 503} <= statuses
    assert {"token_refused", "store_unavailable", "store_call_refused", "message_saved"} <= (
        scene.events()
    )


@pytest.mark.promise("secrets")
async def test_a_failed_model_leaves_no_canary_in_what_is_stored(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    """What a provider says in its error may hold the key: none of it is in any row."""
    async with scene_of(stack, user, tmp_path) as scene:
        for status in (401, 500):
            scene.model.on_everything(echoes(status))
            answer = await scene.ask()
            assert answer.json()["success"] is False
        listed = await scene.ask("GET", "/conversations")
        rows = []
        for conversation in listed.json()["conversations"]:
            of = {"conversationId": conversation["id"]}
            loaded = await scene.ask("GET", "/load-conversation", params=of)
            rows += loaded.json()["messages"]
    assert len(rows) == 4
    assert leaks(json.dumps(rows), scene.canaries.secrets()) == []
    failed = [row for row in rows if row["role"] == "assistant"]
    errors = [(row["content"], row["metadata"]["error"]) for row in failed]
    assert leaks(json.dumps(errors), {"words": scene.canaries.words}) == []


def test_negative_control_a_leak_is_found_in_each_disguise() -> None:
    """Plain, in a URL, in JSON inside of JSON, and in base64 wherever it begins."""
    secret = {"key": "sb_secret_canary/é+1"}
    text = secret["key"]
    for leaky in (
        text,
        json.dumps({"a": text}),
        quote(text, safe=""),
        *(base64.b64encode(f"{pad}{text}:".encode()).decode() for pad in ("", "a", "ab", "abc")),
    ):
        assert leaks(f"... {leaky} ...", secret) == ["key"], leaky
    assert leaks("nothing of it", secret) == []
