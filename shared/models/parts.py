"""The parts that a request or a reply may have beside its text, which is one of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, JsonValue

from ..encoding.parts import Part, is_text, problem_of
from ..encoding.sizes import MAX_PARTS_BYTES, stored_size

MAX_PARTS: Final = 1000

# What an AI has done or thought, a user can't say that it has.
OF_A_USER: Final = ("text", "file", "data-")


def sound_part(value: dict[str, Any]) -> dict[str, Any]:
    """Return a part; raise ValueError if it is none."""
    if (problem := problem_of(value)) is not None:
        raise ValueError(problem)
    return value


def _a_users(value: dict[str, Any]) -> dict[str, Any]:
    if not str(value["type"]).startswith(OF_A_USER):
        raise ValueError("type: should be text, file or data-name")
    return value


def _small_enough(parts: list[Part]) -> list[Part]:
    if stored_size(parts) > MAX_PARTS_BYTES:
        raise ValueError(f"should take at most {MAX_PARTS_BYTES} bytes")
    return parts


RequestParts = Annotated[
    list[Annotated[dict[str, JsonValue], AfterValidator(sound_part), AfterValidator(_a_users)]],
    Field(max_length=MAX_PARTS),
]

ReplyParts = Annotated[
    list[Annotated[dict[str, JsonValue], AfterValidator(sound_part)]],
    Field(max_length=MAX_PARTS),
    AfterValidator(_small_enough),
]


def parts_with_text(parts: list[Part], text: str) -> list[Part]:
    """Return the parts with the text among them: before the others, where it isn't one yet."""
    if not parts or any(is_text(part) and part["text"] for part in parts):
        return parts
    return [{"type": "text", "text": text}, *parts]
