"""What a stream of server-sent events holds, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from .vocabulary import word_for

ROW: Final = {"$ref": "#/components/schemas/MessageRow"}
TYPES: Final[dict[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
}
ERROR: Final = {"$ref": "#/components/schemas/ErrorResponse"}

Data: TypeAlias = dict[str, Any] | tuple[str, ...]


def stream_of(**events: Data) -> dict[int | str, dict[str, Any]]:
    """Return the documented 200 of a stream with these events, and `error` as any may end.

    The data of an event is a schema, or the names of its fields, which the vocabulary has.
    """
    named = {**events, "error": ERROR}
    content = {
        "schema": {"type": "string", "description": f"The events {_listed(named)}."},
        "itemSchema": {"oneOf": [_event(name, data) for name, data in named.items()]},
    }
    return {200: {"content": {"text/event-stream": content}}}


def _listed(names: dict[str, Any]) -> str:
    *others, last = [f"`{name}`" for name in names]
    return f"{', '.join(others)} and {last}"


def _event(name: str, data: Data) -> dict[str, Any]:
    return {
        "title": name,
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"const": name},
            "id": {"type": "string", "description": "Where the stream goes on: `Last-Event-ID`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": _fields(name, data) if isinstance(data, tuple) else data,
            },
        },
    }


def _fields(event: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(names),
        "properties": {name: _field(name, event) for name in names},
    }


def _field(name: str, event: str) -> dict[str, Any]:
    if name == "userMessage":
        return ROW
    word = word_for(name, event)
    if word is None:
        raise LookupError(f"the vocabulary lacks {name!r}, of the event {event!r}")
    return {
        "type": TYPES[type(word.example)],
        "description": word.description,
        "examples": [word.example],
    }
