"""A provider of language models on a real HTTP server that speaks OpenAI's protocol."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import pydantic_ai.models
from pydantic_ai.models import Model

PLAN = {"intent": "create_function", "complexity": "complex", "strategy": "step_by_step"}


class FakeProvider(ThreadingHTTPServer):
    """Answers chat completions as `answer` says, classifications as `plan` does, and keeps both."""

    daemon_threads = True
    answer: Callable[["Handler"], None]
    plan: Callable[["Handler"], object]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.may_go_on = threading.Event()
        self.plan = Handler.send_plan

    def handle_error(self, *_: object) -> None:
        """Say nothing about connections that break."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One request to the fake provider."""

    protocol_version = "HTTP/1.1"
    server: FakeProvider

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked = body
        self.server.asked.append(body)
        self.server.keys.append(self.headers["authorization"])
        if body.get("stream"):
            self.server.answer(self)
        else:
            self.server.plan(self)

    def send_plan(self) -> None:
        tool = self.asked["tools"][0]["function"]["name"]
        call = {"name": tool, "arguments": json.dumps(PLAN)}
        calls = [{"id": "1", "type": "function", "function": call}]
        self.send_message({"content": None, "tool_calls": calls}, "tool_calls")

    def send_message(self, said: Mapping[str, Any], finish_reason: str = "stop") -> None:
        message = {"role": "assistant", **said}
        choice = {"index": 0, "finish_reason": finish_reason, "message": message}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
        self.send_json(200, {**head, "choices": [choice], "usage": usage})

    def send_json(
        self, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def send_chunk(self, data: str) -> None:
        payload = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
        self.wfile.flush()

    def send_piece(self, text: str | None, finish_reason: str | None = None) -> None:
        self.send_delta({"content": text} if text is not None else {}, finish_reason)

    def send_delta(self, delta: Mapping[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        self.send_chunk(json.dumps({**head, "choices": [choice]}))

    def end_stream(self) -> None:
        self.send_chunk("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def running_provider() -> Iterator[FakeProvider]:
    """Run a provider, which the engines of this process may ask."""
    server = FakeProvider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with pydantic_ai.models.override_allow_model_requests(True):
            yield server
    finally:
        server.may_go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def streaming(
    *pieces: str, finish_reason: str | None = "stop", reasoning: str = "", is_held: bool = False
) -> Callable[[Handler], None]:
    """Return an answer of these pieces, whose end is held until the provider may go on."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        if reasoning:
            handler.send_delta({"reasoning_content": reasoning})
        for piece in pieces:
            handler.send_piece(piece)
        if is_held:
            handler.server.may_go_on.wait()
        if finish_reason is not None:
            handler.send_piece(None, finish_reason)
        handler.end_stream()

    return answer


def strictly(*pieces: str) -> Callable[[Handler], None]:
    """Return an answer of these pieces, and of 400, as OpenAI has it, if calls don't add up.

    One lacks its result, a result its call, or all of them a definition of their tool.
    """

    def answer(handler: Handler) -> None:
        problem = problem_of_calls(handler.asked)
        if problem is None:
            streaming(*pieces)(handler)
        else:
            handler.send_json(400, {"error": {"message": problem}})

    return answer


def problem_of_calls(asked: Mapping[str, Any]) -> str | None:
    """Return what OpenAI's API would refuse of the calls in a conversation."""
    waiting: set[str] = set()
    has_called = False
    for message in asked["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "a result without a call"
            waiting.remove(message["tool_call_id"])
        elif waiting:
            return "a call without a result"
        waiting |= {one["id"] for one in message.get("tool_calls") or ()}
        has_called = has_called or bool(waiting)
    if waiting:
        return "a call without a result"
    return "a call without a tool" if has_called and not asked.get("tools") else None


SAID = "Fine."

Said: TypeAlias = Mapping[str, Any]


def strict_openai(provider: FakeProvider) -> Model:
    """Let a provider be as strict as OpenAI's; return a model that asks it."""
    from pydantic_ai.models.openai import OpenAIChatModel  # for whoever calls it alone
    from pydantic_ai.providers.openai import OpenAIProvider

    provider.plan = _refusing(
        problem_of_calls, lambda handler: handler.send_message({"content": SAID})
    )
    own = OpenAIProvider(base_url=provider.base_url, api_key="unused")
    return OpenAIChatModel("any", provider=own)


def strict_anthropic(provider: FakeProvider) -> Model:
    """Let a provider be as strict as Anthropic's; return a model that asks it."""
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider.plan = _refusing(_problem_of_blocks, _say_as_anthropic)
    url = provider.base_url.removesuffix("/v1")
    return AnthropicModel("any", provider=AnthropicProvider(api_key="unused", base_url=url))


def _refusing(
    problem_of: Callable[[Said], str | None], say: Callable[[Handler], None]
) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        if problem := problem_of(handler.asked):
            handler.send_json(400, {"type": "error", "error": {"type": "x", "message": problem}})
        else:
            say(handler)

    return answer


def _say_as_anthropic(handler: Handler) -> None:
    head = {"id": "x", "type": "message", "role": "assistant", "model": "any"}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"usage": {"input_tokens": 7, "output_tokens": 3}}
    handler.send_json(200, {**head, "content": [{"type": "text", "text": SAID}], **end, **usage})


def _blocks(message: Said) -> list[Said]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _problem_of_blocks(asked: Said) -> str | None:
    """Return what Anthropic's API would refuse: the next message begins with a use's result."""
    waiting: set[str] = set()
    has_used = False
    if asked["messages"][0]["role"] != "user":
        return "the first message is the user's"
    for message in asked["messages"]:
        blocks = _blocks(message)
        results = [one["tool_use_id"] for one in blocks if one["type"] == "tool_result"]
        first = [one["type"] for one in blocks[: len(results)]]
        if set(results) != waiting or len(results) != len(waiting):
            return "tool_use without tool_result in the next message, or the reverse"
        if set(first) - {"tool_result"}:
            return "tool_result blocks come first"
        if any(one["type"] == "text" and not one["text"].strip() for one in blocks) or not blocks:
            return "text content blocks must be non-empty"
        waiting = {one["id"] for one in blocks if one["type"] == "tool_use"}
        has_used = has_used or bool(waiting)
    if waiting:
        return "tool_use without tool_result"
    return "tools are required" if has_used and not asked.get("tools") else None
