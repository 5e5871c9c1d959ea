"""What a turn is given of what came before, on which path, by each road."""

from typing import Any
from uuid import uuid4

import pytest

from shared.errors import (
    ConversationNotFoundError,
    MessageNotEditableError,
    MessageNotFoundError,
)
from tests.support import turn_roads
from tests.support.turn_roads import BUDGET, Road

road = turn_roads.road


@pytest.mark.parametrize(("size", "first"), [(10, 1), (2_000, 3)])
async def test_a_history_is_the_newest_that_fits(road: Road, size: int, first: int) -> None:
    """Long ones count a quarter of the budget each; how many are left out is said."""
    record = await road.begin("x" * size)
    chat = record.conversation.id
    for _ in range(2):
        await road.complete(record, content="y" * size)
        record = await road.begin("x" * size, conversation_id=chat)
    await road.complete(record, content="y" * size)
    loaded = await road.store.load_history(
        road.user_id, chat, history_tokens=BUDGET, caller=road.owner
    )
    begun = await road.begin(conversation_id=chat)
    assert [row["seq"] for row in loaded.history] == list(range(first, 7))
    assert loaded.context is not None
    assert (loaded.context.omitted, loaded.context.is_whole) == (first - 1, first == 1)
    assert (begun.history, begun.context) == (loaded.history, loaded.context)
    with pytest.raises(ConversationNotFoundError):
        await road.store.load_history(
            road.user_id, uuid4(), history_tokens=BUDGET, caller=road.owner
        )


@pytest.mark.promise("context")
async def test_what_is_known_of_a_history_is_not_sent(road: Road) -> None:
    """Up to a message that is found there, and only if the history would begin in what is known."""
    first = await road.begin("one")
    chat: dict[str, Any] = {"conversation_id": first.conversation.id}
    second_id = (await road.complete(first)).reply.id  # type: ignore[union-attr]
    for known_from, known_id, known in [
        (1, second_id, 2),
        (1, first.user_message.id, 1),
        (2, second_id, 0),
        (1, uuid4(), 0),
        (None, second_id, 0),
        (1, None, 0),
    ]:
        begun = await road.begin(**chat, known_from=known_from, known_id=known_id)
        assert begun.context is not None
        assert (begun.context.known, begun.context.first) == (known, 1)
        sent = [row["seq"] for row in begun.history]
        assert sent == list(range(known + 1, begun.user_message.seq))
        await road.complete(begun)
    edited = await road.begin(**chat)
    await road.complete(edited)
    for known_id, known in ((edited.user_message.id, 0), (second_id, 2)):
        begun = await road.begin(
            **chat, edits=edited.user_message.id, known_from=1, known_id=known_id
        )
        assert begun.context is not None
        assert begun.context.known == known
        assert [row["seq"] for row in begun.history] == list(
            range(known + 1, edited.user_message.seq)
        )
        await road.complete(begun)
    elsewhere = await road.begin()
    await road.complete(elsewhere)
    chat = {"conversation_id": elsewhere.conversation.id}
    begun = await road.begin(**chat, known_from=1, known_id=second_id)
    assert [row["seq"] for row in begun.history] == [1, 2]


async def test_an_edit_and_a_regeneration_go_on_from_their_place(road: Road) -> None:
    """Each with the history of its own path; a regenerating turn answers an old message."""
    first = await road.begin("One")
    done = await road.complete(first)
    assert done.reply is not None
    here = {"conversation_id": first.conversation.id}
    edited = await road.begin("Two", **here, edits=first.user_message.id)
    assert (edited.history, edited.user_message.branch, edited.turn.answers) == ([], 1, None)
    await road.complete(edited)
    again = {**here, "regenerates": done.reply.id, "message_id": uuid4(), "idempotency_key": "k"}
    begun = [await road.begin("", **again) for _ in range(2)]
    assert [record.outcome for record in begun] == ["started", "started"]
    assert begun[1].turn.id == begun[0].turn.id
    assert begun[0].turn.answers == begun[0].user_message.id == first.user_message.id
    other = await road.complete(begun[0])
    assert other.reply is not None
    assert (other.user_message, other.reply.seq, other.reply.branch) == (first.user_message, 5, 2)
    more = await road.begin("More", **here)
    assert [row["seq"] for row in more.history] == [1, 5]


async def test_what_is_not_there_or_not_a_users_is_not_edited(road: Road) -> None:
    """Nothing is begun, and the key is free."""
    done = await road.complete(await road.begin())
    assert done.reply is not None
    here: dict[str, Any] = {"conversation_id": done.conversation.id, "idempotency_key": "k"}
    with pytest.raises(MessageNotEditableError):
        await road.begin(**here, edits=done.reply.id)
    with pytest.raises(MessageNotFoundError):
        await road.begin(**here, regenerates=uuid4())
    assert (await road.begin(**here)).outcome == "started"
