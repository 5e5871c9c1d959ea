"""What import-conversation takes, for its OpenAPI page: the file is the whole body."""

from __future__ import annotations

from typing import Any

MESSAGES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "description": "A list of messages; of a list, roles and contents of other systems are read"
    " too. Times are ISO 8601, or seconds or milliseconds since 1970.",
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["user", "assistant", "system", "developer", "tool"]},
            "content": {"anyOf": [{"type": "string"}, {"type": "array"}]},
            "timestamp": {"type": ["string", "number", "null"]},
        },
    },
}
EXAMPLE = [
    {"role": "user", "content": "Hello", "timestamp": "2026-11-01T10:00:00Z"},
    {"role": "assistant", "content": "Hi. What can I do?", "timestamp": "2026-11-01T10:00:02Z"},
]
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "A list of messages, our own JSON, or an export of ChatGPT, Claude and others;"
    " or a zip of such files.",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    MESSAGES,
                    {"type": "object", "description": "A conversation, ours or another system's."},
                    {"type": "array", "items": {"type": "object"}, "description": "Several."},
                ]
            },
            "example": EXAMPLE,
        },
        "application/zip": {"schema": {"type": "string", "format": "binary"}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    },
}
