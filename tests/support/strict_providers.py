"""What two providers refuse of a conversation with tools, for answers that aren't streamed."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic_ai.models import Model

from tests.support.fake_provider import FakeProvider, Handler, problem_of_calls

SAID = "Fine."

Said: TypeAlias = Mapping[str, Any]


def openai(provider: FakeProvider) -> Model:
    """Let a provider be as strict as OpenAI's; return a model that asks it."""
    from pydantic_ai.models.openai import OpenAIChatModel  # for whoever calls it alone
    from pydantic_ai.providers.openai import OpenAIProvider

    provider.plan = _strictly(
        problem_of_calls, lambda handler: handler.send_message({"content": SAID})
    )
    own = OpenAIProvider(base_url=provider.base_url, api_key="unused")
    return OpenAIChatModel("any", provider=own)


def anthropic(provider: FakeProvider) -> Model:
    """Let a provider be as strict as Anthropic's; return a model that asks it."""
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider.plan = _strictly(_problem_of_blocks, _say_as_anthropic)
    url = provider.base_url.removesuffix("/v1")
    return AnthropicModel("any", provider=AnthropicProvider(api_key="unused", base_url=url))


def _strictly(
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
