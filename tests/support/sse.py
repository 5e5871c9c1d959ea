"""A small reader of server-sent events."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event as it came."""

    name: str
    id: str
    data: dict[str, Any]


async def read_events(answer: httpx.Response) -> AsyncIterator[Event]:
    """Yield the events of an open stream; comments are passed over."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and fields:
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


def text_of(events: list[Event]) -> str:
    """Return the text that deltas add up to, asserting that each begins where the last ended."""
    text = ""
    for event in events:
        if event.name == "delta":
            assert event.data["offset"] == len(text)
            text += event.data["text"]
    return text


def data_of(text: str) -> list[dict[str, Any]]:
    """Return the data of each event of a stream that has been read."""
    return [json.loads(line) for line in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


async def until(events: AsyncIterator[Event], name: str) -> list[Event]:
    """Read on to the next event of this name; return what came, and that."""
    seen = []
    async for event in events:
        seen.append(event)
        if event.name == name:
            return seen
    raise AssertionError(f"no {name} in {seen}")
