"""Calls of tools and their results, as each system writes them, and the part that both become.

A part's name and id are such as every provider takes back: a conversation that came in goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ..encoding.canonical import canonical
from ..encoding.parts import is_tool, problem_of, tool_name
from ..encoding.strict import JsonRules, parse_json
from ..errors import InvalidRequestError
from .entries import HUGE
from .parsed import as_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..encoding.parts import Part
    from .said import Said

MAX_PARSED_CHARS: Final = 100_000  # of arguments that are JSON in a text: they weren't counted
ARGUMENTS: Final = JsonRules(is_exact=True)
INNER: Final = ("function", "functioncall", "function_call", "tool_call", "toolinvocation",
                "functionresponse", "function_response")  # fmt: skip
CALL_IDS: Final = ("toolCallId", "tool_call_id", "tool_use_id", "call_id")
NAMES: Final = ("toolName", "tool_name", "name")
INPUTS: Final = ("input", "args", "arguments")
OUTPUTS: Final = ("output", "result", "response")
READ: Final = frozenset({*CALL_IDS, *NAMES, *INPUTS, *OUTPUTS, "id", "type", "state", "role",
                         "content", "is_error", "isError", "errorText"})  # fmt: skip
IS_RESULT: Final = re.compile(r".*(result|output|response)")
NO_NAME: Final = frozenset({"call", "result", "invocation", "use"})  # of a type such as tool-call
UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call, and the step that it is if the call isn't there."""

    call_id: str | None
    name: str | None
    output: Any
    is_error: bool
    step: dict[str, Any] | None = None

    def fill(self, part: Part) -> None:
        """Make this the result of a call."""
        if self.is_error:
            text = self.output if isinstance(self.output, str) else canonical(self.output)
            part |= {"state": "output-error", "errorText": text}
        else:
            part |= {"state": "output-available", "output": self.output}

    def call_in(self, parts: Iterable[Part]) -> Part | None:
        """Return the call that this is the result of."""
        calls = [part for part in parts if part.get("state") == "input-available"]
        if self.call_id:
            return next((call for call in calls if call["toolCallId"] == self.call_id), None)
        if self.name:
            name = safe_name(self.name)
            return next(
                (call for call in calls if f"{tool_name(call)}_".startswith(f"{name}_")), None
            )
        return calls[-1] if calls else None


def read_tool(
    block: dict[str, Any], said: Said, *, step: dict[str, Any], is_result: bool = False
) -> None:
    """Add a call or its result; `step` is what it is where there is no name or no call for it."""
    if is_tool(block) and problem_of(block) is None:
        said.add_part(dict(block))
        return
    given = _unwrapped(block)
    kind = str(block.get("type") or next(iter(block), ""))
    is_result = is_result or IS_RESULT.match(kind.lower()) is not None
    name = _name_in(given, kind)
    ids = (given.get(one) for one in (CALL_IDS if is_result else (*CALL_IDS, "id")))
    call_id = next((str(one) for one in ids if one and isinstance(one, str | int)), None)
    if not is_result:
        if name is None:
            said.step(**step)
            return
        more = {key: value for key, value in given.items() if key not in READ and value is not None}
        inputs = (given[one] for one in INPUTS if given.get(one) is not None)
        said.call(name, next(inputs, {}), call_id=call_id, more=more)
    outputs = [given[one] for one in (*OUTPUTS, "errorText") if given.get(one) is not None]
    outputs += [given["content"]] if is_result and given.get("content") is not None else []
    if outputs or is_result:
        output = _plain(outputs[0]) if outputs else None
        own_step = step if is_result else None
        said.result(Result(call_id, name, output, _is_error(given), own_step))


def _unwrapped(block: dict[str, Any]) -> dict[str, Any]:
    """Return what a block says, with what it says of its call within it."""
    given = dict(block)
    for inner in [key for key, value in block.items() if isinstance(value, dict)]:
        if inner.lower() in INNER:
            given |= given.pop(inner)
    return given


def _name_in(given: dict[str, Any], kind: str) -> str | None:
    """Return a tool's name, as it is given or as the type has it behind `tool-`."""
    names = (given.get(name) for name in NAMES)
    name = next((one for one in names if isinstance(one, str) and one.strip()), None)
    called = kind[len("tool-") :] if kind.lower().startswith("tool-") else ""
    return name or (called if called.lower() not in NO_NAME else "") or None


def _is_error(given: dict[str, Any]) -> bool:
    is_marked = given.get("is_error") is True or given.get("isError") is True
    return is_marked or "errorText" in given or given.get("status") == "error"


def call_part(name: str, given: Any, *, call_id: str | None, more: dict[str, Any]) -> Part:
    """Return the part of a call that has no result yet."""
    toolname = safe_name(name)
    more = more if toolname == name else {**more, "name": name}
    return {
        "type": "dynamic-tool",
        "toolName": toolname,
        "toolCallId": call_id or "",
        "state": "input-available",
        "input": _arguments(given) if isinstance(given, str) else given,
        **({"callProviderMetadata": {"imported": more}} if more else {}),
    }


def with_ids(parts: Iterable[Part], of: str) -> None:
    """Give each call of a message an id that a provider takes, if it has none or another's."""
    known: set[str] = set()
    for place, part in enumerate(part for part in parts if is_tool(part)):
        call_id = str(part["toolCallId"])
        if not SAFE_ID.fullmatch(call_id) or call_id in known:
            digest = sha256(f"{of} {call_id} {place}".encode(errors="surrogatepass")).hexdigest()
            part["toolCallId"] = f"call_{digest[:24]}"
        known.add(part["toolCallId"])


def safe_name(name: str) -> str:
    """Return a tool's name as every provider takes it."""
    return UNSAFE.sub("_", name).strip("_")[:64] or "tool"


def _arguments(text: str) -> Any:
    """Return the object that a text is as JSON, as some systems write arguments; else the text."""
    if not text.strip():
        return {}
    if len(text) > MAX_PARSED_CHARS or HUGE.search(text):
        return text
    try:
        value = parse_json(text, ARGUMENTS)
        return value if isinstance(value, dict) else text
    except InvalidRequestError:
        return text


def _plain(output: Any) -> Any:
    """Return what came of a call; blocks of text as the text that they are."""
    blocks = as_objects(output)
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    is_text = all(block.keys() <= {"type", "text"} for block in blocks)
    return "\n\n".join(texts) if is_text and texts and len(texts) == len(output) else output
