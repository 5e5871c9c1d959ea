"""Items of a session whose caller doesn't wait for them."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from shared.sessions.stored import Item, StoredItems


class SlowStore:
    """Takes a second for each change."""

    def __init__(self) -> None:
        self.changes: list[str] = []

    async def append_messages(self, *_: Any, messages: list[dict[str, Any]]) -> None:
        """Append rows."""
        await asyncio.sleep(1)
        self.changes += [row["content"] for row in messages]

    async def take_back_message(self, *_: Any, **__: Any) -> Any:
        """Take one back."""
        await asyncio.sleep(1)
        self.changes.append("taken back")
        return SimpleNamespace(message=None)


@pytest.mark.parametrize("is_popped", [False, True])
async def test_a_change_whose_caller_is_cancelled_comes_before_the_next_one(
    *, is_popped: bool
) -> None:
    """As in the SDK's own sessions: the cancellation waits until the outcome is known."""
    store = SlowStore()
    chat: Any = SimpleNamespace(persistence=store)
    items = StoredItems(chat, uuid4(), "one", "any", "1")
    first: Callable[[], Awaitable[Any]] = (
        items.take_back if is_popped else lambda: items.add([Item("user", "first", "{}")])
    )
    task = asyncio.ensure_future(first())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await items.add([Item("user", "next", "{}")])
    assert store.changes == ["taken back" if is_popped else "first", "next"]
