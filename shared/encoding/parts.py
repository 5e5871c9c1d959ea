"""The parts of a message, in the shapes of the AI SDK's UI messages, as plain JSON objects.

They are checked and passed on as they came: what a provider or a later version adds is kept. A
message without parts is its content alone; else its content is the text of its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Part: TypeAlias = dict[str, Any]

SEPARATOR: Final = "\n\n"  # between two texts with another part between them
UNFINISHED: Final = frozenset(
    {"input-streaming", "input-available", "approval-requested", "approval-responded"}
)
# Beside a text and not between two: they say more of it.
_BESIDE: Final = ("source-", "data-")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Text(_Part):
    type: Literal["text", "reasoning"]
    text: str
    state: Literal["streaming", "done"] | None = None


class _File(_Part):
    type: Literal["file", "reasoning-file"]
    mediaType: str  # noqa: N815 - the AI SDK's name, as all of these
    url: str
    filename: str | None = None


class _SourceUrl(_Part):
    type: Literal["source-url"]
    sourceId: str  # noqa: N815
    url: str
    title: str | None = None


class _SourceDocument(_Part):
    type: Literal["source-document"]
    sourceId: str  # noqa: N815
    mediaType: str  # noqa: N815
    title: str
    filename: str | None = None


class _StepStart(_Part):
    type: Literal["step-start"]


class _Custom(_Part):
    type: Literal["custom"]
    kind: str


class _Steering(_Part):
    type: Literal["steering-message"]
    id: str
    parts: list[dict[str, Any]]


class _Data(_Part):
    type: Annotated[str, Field(pattern="^data-.")]
    id: str | None = None
    data: Any


class _Approval(_Part):
    id: str
    approved: bool | None = None


class _Tool(_Part):
    """A tool call: its input, and its output or error once there is one."""

    type: Annotated[str, Field(pattern="^(tool-.|dynamic-tool$)")]
    toolName: str | None = None  # noqa: N815
    toolCallId: Annotated[str, Field(min_length=1)]  # noqa: N815
    state: Literal[
        "input-streaming",  # -> input-available, output-error
        "input-available",  # -> approval-requested, or an output
        "approval-requested",  # -> approval-responded
        "approval-responded",  # -> an output
        "output-available",
        "output-error",
        "output-denied",
    ]
    errorText: str | None = None  # noqa: N815
    approval: _Approval | None = None

    @model_validator(mode="after")
    def _has_what_its_state_needs(self) -> _Tool:
        if self.type == "dynamic-tool" and self.toolName is None:
            raise ValueError("dynamic-tool needs toolName")
        if self.state == "output-error" and self.errorText is None:
            raise ValueError("output-error needs errorText")
        if self.state.startswith("approval-") and self.approval is None:
            raise ValueError(f"{self.state} needs approval")
        return self


_KINDS: Final[dict[str, type[_Part]]] = {
    **dict.fromkeys(("text", "reasoning"), _Text),
    **dict.fromkeys(("file", "reasoning-file"), _File),
    **dict.fromkeys(("tool", "dynamic-tool"), _Tool),
    "source-url": _SourceUrl,
    "source-document": _SourceDocument,
    "step-start": _StepStart,
    "custom": _Custom,
    "steering-message": _Steering,
    "data": _Data,
}


def _model_of(part: Any) -> type[_Part] | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return None
    prefix = kind.partition("-")[0]
    return _KINDS.get(prefix if prefix in {"tool", "data"} else kind)


def problem_of(part: Any) -> str | None:
    """Return what is wrong with a part, in a few words, or None."""
    model = _model_of(part)
    if model is None:
        return "type: should be that of a part, such as text, file or data-name"
    try:
        model.model_validate(part)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))
        return f"{place or 'part'}: {error['msg'].removeprefix('Value error, ')}"
    return None


def is_text(part: Part) -> bool:
    """Whether a part is text of the message itself."""
    return part.get("type") == "text"


def is_tool(part: Part) -> bool:
    """Whether a part is a tool call."""
    kind = str(part.get("type"))
    return kind == "dynamic-tool" or kind.startswith("tool-")


def tool_name(part: Part) -> str:
    """Return the name of the tool that a tool call is of."""
    kind = str(part["type"])
    return str(part.get("toolName", "")) if kind == "dynamic-tool" else kind.removeprefix("tool-")


def identity_of(part: Part) -> tuple[str, str] | None:
    """Return by what a part is known, where a later one of the same replaces it."""
    if is_tool(part):
        return "tool", str(part["toolCallId"])
    kind = str(part["type"])
    if kind.startswith("data-") and part.get("id") is not None:
        return kind, str(part["id"])
    return (kind, str(part["id"])) if kind == "reasoning" and part.get("id") else None


def separates(parts: Iterable[Part]) -> bool:
    """Whether these, between two texts, set them apart."""
    return any(not str(part.get("type")).startswith(_BESIDE) for part in parts)


def text_of(parts: Sequence[Part]) -> str:
    """Return the text of a message's parts: its content."""
    text = ""
    between: list[Part] = []
    for part in parts:
        if not is_text(part):
            between.append(part)
            continue
        text += (SEPARATOR if text and separates(between) else "") + part["text"]
        between = []
    return text
