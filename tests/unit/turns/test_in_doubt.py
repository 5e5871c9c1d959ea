"""What was asked without an answer is asked again as it was, once, and not for ever."""

import asyncio

import pytest

from shared.encoding.ids import new_id
from shared.turns import in_doubt
from shared.turns.in_doubt import Begin, InDoubtBegins


@pytest.mark.promise("take-over")
async def test_a_call_without_an_answer_is_repeated_by_one_alone() -> None:
    """Whoever asks beside it is somebody new."""
    begins = InDoubtBegins(seconds=60)
    first = begins.take("k")
    begins.keep("k", first)
    assert begins.take("k") == first
    assert begins.take("k").message_id != first.message_id
    assert begins.take("other").message_id != first.message_id


async def test_it_is_kept_from_its_first_sending_on_and_not_for_longer() -> None:
    """However often it was repeated: the lease began with the first."""
    begins = InDoubtBegins(seconds=10)
    first = begins.take("k")
    for seconds in (4, 5):
        begins.keep("k", first)
        await asyncio.sleep(seconds)
        assert begins.take("k") == first
    begins.keep("k", first)
    await asyncio.sleep(1)
    assert begins.take("k").message_id != first.message_id


@pytest.mark.promise("fencing", red="the last one kept")
async def test_of_several_under_one_key_the_first_is_kept() -> None:
    """It is the one that the store let through, whichever of them fails last."""
    begins = InDoubtBegins(seconds=60)
    first = begins.take("k")
    await asyncio.sleep(1)
    second = begins.take("k")
    for begin in (second, first, second):
        begins.keep("k", begin)
    assert begins.take("k") == first
    begins.keep("k", first)
    await asyncio.sleep(60)
    third = Begin(new_id(), asyncio.get_running_loop().time())
    begins.keep("k", third)
    assert begins.take("k") == third


async def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away for long fills no memory."""
    monkeypatch.setattr(in_doubt, "MOST", 2)
    begins = InDoubtBegins(seconds=60)
    kept = {key: begins.take(key) for key in "abc"}
    for key, begin in kept.items():
        begins.keep(key, begin)
    assert [begins.take(key) == begin for key, begin in kept.items()] == [False, True, True]
