"""The parts of a message as chunks: begun, grown and ended as the protocol has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..encoding.parts import identity_of, is_tool, tool_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..encoding.parts import Part

Chunk: TypeAlias = dict[str, Any]

# Of a tool call: what its chunks carry beside its input.
OF_A_CALL: Final = ("providerExecuted", "title", "toolMetadata")
BEFORE_INPUT: Final = frozenset({"input-streaming"})
# Parts that are sent as they are.
SAME: Final = ("source-", "file", "reasoning-file", "data-", "custom", "steering-message")


class PartWriter:
    """Writes one message. `known` are parts of it that its reader has already."""

    def __init__(self, known: Iterable[Part] = ()) -> None:
        self.count = 0  # of parts that were begun
        self._open: tuple[str, str] | None = None  # the kind and id of the part that still grows
        self._known = {identity_of(part): part for part in known if identity_of(part)}
        self._is_in_step = False

    def text(self, delta: str) -> Iterator[Chunk]:
        """Write text, as a part of its own after any other."""
        yield from self._grow("text", delta, {})

    def reasoning(self, delta: str) -> Iterator[Chunk]:
        """Write reasoning, as a part of its own after any other."""
        yield from self._grow("reasoning", delta, {})

    def part(self, part: Part) -> Iterator[Chunk]:
        """Write a part, or the later state of a tool call or of data."""
        kind = str(part["type"])
        if kind in {"text", "reasoning"}:
            yield from self.close()
            yield from self._grow(kind, str(part.get("text", "")), _metadata_of(part))
        elif is_tool(part):
            yield from self._call(part)
        elif kind == "step-start":
            yield from self._step()
        elif kind.startswith(SAME):
            yield from self._place(part)
            yield dict(part)

    def close(self) -> Iterator[Chunk]:
        """End the part that is open."""
        if self._open is not None:
            kind, name = self._open
            self._open = None
            yield {"type": f"{kind}-end", "id": name}

    def end(self) -> Iterator[Chunk]:
        """End the part and the step that are open."""
        yield from self.close()
        if self._is_in_step:
            self._is_in_step = False
            yield {"type": "finish-step"}

    def _grow(self, kind: str, delta: str, more: Chunk) -> Iterator[Chunk]:
        if self._open is None or self._open[0] != kind:
            yield from self.close()
            self.count += 1
            self._open = (kind, f"{kind}-{self.count}")
            yield {"type": f"{kind}-start", "id": self._open[1], **more}
        if delta:
            yield {"type": f"{kind}-delta", "id": self._open[1], "delta": delta}

    def _place(self, part: Part) -> Iterator[Chunk]:
        """End what is open, unless a part is the later state of one that has its place."""
        identity = identity_of(part)
        if identity is None or identity not in self._known:
            yield from self.close()
            self.count += 1
        if identity is not None:
            self._known[identity] = part

    def _step(self) -> Iterator[Chunk]:
        yield from self.end()
        self.count += 1
        self._is_in_step = True
        yield {"type": "start-step"}

    def _call(self, part: Part) -> Iterator[Chunk]:
        """Write what is new of a tool call, whatever states of it were left out."""
        before = self._known.get(identity_of(part))
        yield from self._place(part)
        if part["state"] in BEFORE_INPUT:
            yield from _input_so_far(part, before)
            return
        if before is None or before["state"] in BEFORE_INPUT:
            yield _input_of(part)
        yield from _approval_of(part, (before or {}).get("approval") or {})
        yield from _output_of(part)


def _metadata_of(part: Part) -> Chunk:
    given = part.get("providerMetadata")
    return {} if given is None else {"providerMetadata": given}


def _of_a_call(part: Part, metadata: str) -> Chunk:
    """Return the fields that the chunks of a call share."""
    chunk = {name: part[name] for name in OF_A_CALL if part.get(name) is not None}
    if part["type"] == "dynamic-tool":
        chunk["dynamic"] = True
    if part.get(metadata) is not None:
        chunk["providerMetadata"] = part[metadata]
    return {"toolCallId": part["toolCallId"], **chunk}


def _input_so_far(part: Part, before: Part | None) -> Iterator[Chunk]:
    call = _of_a_call(part, "callProviderMetadata")
    if before is None:
        yield {"type": "tool-input-start", "toolName": tool_name(part), **call}
    written, seen = str(part.get("rawInput") or ""), str((before or {}).get("rawInput") or "")
    if delta := written.removeprefix(seen):
        tail = {"toolCallId": part["toolCallId"], "inputTextDelta": delta}
        yield {"type": "tool-input-delta", **tail}


def _input_of(part: Part) -> Chunk:
    call = _of_a_call(part, "callProviderMetadata")
    return {
        "type": "tool-input-available",
        "toolName": tool_name(part),
        "input": part.get("input"),
        **call,
    }


def _approval_of(part: Part, before: Part) -> Iterator[Chunk]:
    approval = part.get("approval")
    if not approval:
        return
    if not before:
        request = {"approvalId": approval["id"], "toolCallId": part["toolCallId"]}
        yield {"type": "tool-approval-request", **request}
    if approval.get("approved") is not None and before.get("approved") is None:
        answer = {name: approval[name] for name in ("approved", "reason") if name in approval}
        yield {"type": "tool-approval-response", "approvalId": approval["id"], **answer}


def _output_of(part: Part) -> Iterator[Chunk]:
    call = _of_a_call(part, "resultProviderMetadata")
    call.pop("title", None)
    match part["state"]:
        case "output-available":
            preliminary = {"preliminary": True} if part.get("preliminary") else {}
            output = {"output": part.get("output"), **preliminary}
            yield {"type": "tool-output-available", **call, **output}
        case "output-error":
            yield {"type": "tool-output-error", **call, "errorText": part["errorText"]}
        case "output-denied":
            yield {"type": "tool-output-denied", "toolCallId": part["toolCallId"]}
