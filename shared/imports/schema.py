"""What import-conversation takes, for its OpenAPI page: the file is the whole body."""

from __future__ import annotations

from typing import Any

from shared.exports.json_document import FORMAT

TEXT = {"type": "string"}
OBJECT = {"type": "object"}
MESSAGES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["user", "assistant", "system"]},
            "content": TEXT,
            "timestamp": {
                "description": "ISO 8601 text, or milliseconds since 1970.",
                "type": ["string", "number", "null"],
            },
        },
    },
}
PLAIN: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["messages"],
    "properties": {
        "title": {"type": ["string", "null"], "minLength": 1, "maxLength": 200, "pattern": r"\S"},
        "messages": {**MESSAGES, "minItems": 0},
    },
}
OURS: dict[str, Any] = {
    "type": "object",
    "description": "What export-conversation gives, unchanged.",
    "required": ["format", "version", "conversation", "messages", "checksum"],
    "properties": {
        "format": {"const": FORMAT},
        "version": {"const": 1},
        "conversation": OBJECT,
        "messages": {"type": "array", "items": OBJECT},
        "checksum": OBJECT,
    },
}
EXAMPLE = [
    {"role": "user", "content": "Hello", "timestamp": "2026-11-01T10:00:00Z"},
    {"role": "assistant", "content": "Hi. What can I do?", "timestamp": "2026-11-01T10:00:02Z"},
]


def _archive(name: str) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": {"type": "object", "required": [name]}}


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "A list of messages, our own JSON, or the conversations.json of ChatGPT or"
    " Claude; or a zip: the one that they give out, or that of export-account.",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    MESSAGES,
                    PLAIN,
                    OURS,
                    {**_archive("mapping"), "description": "ChatGPT's conversations.json."},
                    {**_archive("chat_messages"), "description": "Claude's conversations.json."},
                ]
            },
            "example": EXAMPLE,
        },
        "application/zip": {"schema": {"type": "string", "format": "binary"}},
    },
}
