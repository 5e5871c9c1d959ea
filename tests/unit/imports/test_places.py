"""Who waits for a place, and who is sent away."""

import asyncio
from uuid import uuid4

import pytest

from shared.errors import ImportBusyError
from shared.imports import places
from shared.imports.places import AT_A_TIME, MAX_WAITING, Places


async def test_a_user_sends_one_file_at_a_time() -> None:
    """The next waits for it; another user doesn't."""
    held, user = Places(), uuid4()
    order: list[str] = []

    async def send(name: str, *, owner: object = user) -> None:
        async with held.taken_by(owner):  # type: ignore[arg-type]
            order.append(f"{name} begins")
            await asyncio.sleep(0.01)
            order.append(f"{name} ends")

    await asyncio.gather(send("a"), send("b"))
    assert order == ["a begins", "a ends", "b begins", "b ends"]
    order.clear()
    await asyncio.gather(send("a"), send("c", owner=uuid4()))
    assert order[:2] == ["a begins", "c begins"]
    assert held._of_users == {}


async def test_who_waits_too_long_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """For their own file before, or for a place at all; and nothing is left of it."""
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.01)
    held, user = Places(), uuid4()
    async with held.taken_by(user):
        with pytest.raises(ImportBusyError) as own:
            async with held.taken_by(user):
                pass
    assert own.value.headers() == {"Retry-After": "10"}
    async with _all_taken(held):
        with pytest.raises(ImportBusyError):
            async with held.taken_by(user):
                pass
    async with held.taken_by(user):
        pass


async def test_only_a_few_of_one_user_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """More are sent away at once."""
    monkeypatch.setattr(places, "WAIT_SECONDS", 60)
    held, user = Places(), uuid4()
    async with held.taken_by(user):
        waiting = [
            asyncio.create_task(held.taken_by(user).__aenter__()) for _ in range(MAX_WAITING - 1)
        ]
        await asyncio.sleep(0)
        with pytest.raises(ImportBusyError):
            await asyncio.wait_for(held.taken_by(user).__aenter__(), 5)
        for task in waiting:
            task.cancel()


class _all_taken:  # noqa: N801 - used as a function
    def __init__(self, held: Places) -> None:
        self._holding = [held.taken_by(uuid4()) for _ in range(AT_A_TIME)]

    async def __aenter__(self) -> None:
        for place in self._holding:
            await place.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        for place in self._holding:
            await place.__aexit__(None, None, None)
