"""The names of all spans, counts and measures: words of ours, known before anything runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

SpanName: TypeAlias = Literal["request", "store", "engine"]
CountName: TypeAlias = Literal["turns.begun", "turns.ended"]
MeasureName: TypeAlias = Literal[
    "request.duration", "store.duration", "engine.duration", "turn.first_text"
]
Attributes: TypeAlias = dict[str, str | int]
