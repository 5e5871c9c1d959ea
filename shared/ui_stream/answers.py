"""What a user answers to a reply's tool calls: approvals, and results of tools that a page runs.

An answer is stored as the user's message that it is: words, and a data part for each call. What a
reply said is never changed; shown, its calls stand as they were answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..encoding.parts import is_tool, tool_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..encoding.parts import Part
    from ..models.rows import MessageRow

ANSWER: Final = "data-tool-answer"
# By the state that a call is answered with: what of it is the user's to say, and how it reads.
ANSWERED: Final = {
    "approval-responded": ("approval",),
    "output-available": ("output",),
    "output-error": ("errorText",),
}


def is_waiting(call: Part) -> bool:
    """Whether a call waits for the user: to allow it, or for the page to run it."""
    if call["state"] == "input-available":
        return not call.get("providerExecuted")
    return bool(call["state"] == "approval-requested")


def answers_in(stored: Iterable[Part], shown: Iterable[Part]) -> list[Part]:
    """Return the answers that a client shows for the calls of a stored reply that wait for one."""
    waiting = {part["toolCallId"]: part for part in stored if is_tool(part) and is_waiting(part)}
    return [
        _answer(waiting[part["toolCallId"]], part)
        for part in shown
        if is_tool(part) and part.get("toolCallId") in waiting and part.get("state") in ANSWERED
    ]


def _answer(call: Part, shown: Part) -> Part:
    state = shown["state"]
    data: dict[str, Any] = {"state": state, "tool": tool_name(call)}
    for name in ANSWERED[state]:
        data[name] = shown.get(name)
    if state == "approval-responded":
        given = shown.get("approval") or {}
        said = {name: given[name] for name in ("approved", "reason") if given.get(name) is not None}
        data["approval"] = {**(call.get("approval") or {}), "approved": False, **said}
    return {"type": ANSWER, "id": call["toolCallId"], "data": data}


def words_of(answers: Sequence[Part]) -> str:
    """Return the answers in words: what is read where no parts are shown."""
    return "\n".join(f"{answer['data']['tool']}: {_word(answer['data'])}" for answer in answers)


def _word(data: dict[str, Any]) -> str:
    if data["state"] == "approval-responded":
        return "approved" if data["approval"]["approved"] else "denied"
    return "done" if data["state"] == "output-available" else "failed"


def is_answer(row: MessageRow) -> bool:
    """Whether a row answers the calls of the reply before it."""
    return row.role == "user" and any(part.get("type") == ANSWER for part in row.parts)


def answered(parts: Iterable[Part], answers: Iterable[Part]) -> list[Part]:
    """Return a reply's parts as these answers leave them; other parts of a row are none."""
    said = {part["id"]: part["data"] for part in answers if part.get("type") == ANSWER}
    return [_with(part, said) if is_tool(part) else part for part in parts]


def _with(call: Part, said: dict[str, dict[str, Any]]) -> Part:
    data = said.get(call["toolCallId"], {})
    return {**call, **{name: value for name, value in data.items() if name != "tool"}}
