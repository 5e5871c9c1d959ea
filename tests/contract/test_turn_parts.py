"""What a turn has beside its text, on every store: parts of messages and of drafts."""

from typing import Any

from shared.models.turns import DraftPart, ExtendedTurn, TurnExtension, TurnRecord
from tests.support import turn_roads
from tests.support.turn_roads import Road

road = turn_roads.road

FILE = {"type": "file", "mediaType": "image/png", "url": "https://x.example/a.png"}
SOURCE = {"type": "source-url", "sourceId": "1", "url": "https://example.com"}
NATIVE = {"framework": "any", "version": "1", "data": []}
CALL = {"type": "tool-search", "toolCallId": "1", "state": "input-available", "input": {"q": "x"}}
FOUND = {**CALL, "state": "output-available", "output": [1]}
TEXT = DraftPart(index=0, offset=0, version=1, part={"type": "text"})
CALLED = DraftPart(index=1, offset=5, version=2, part=CALL)
DONE = DraftPart(index=1, offset=5, version=3, part=FOUND)


async def extend(
    road: Road, record: TurnRecord, text: str, *parts: DraftPart, **more: Any
) -> ExtendedTurn:
    """Write parts to a draft, and text at its start."""
    lease_seconds = more.pop("lease_seconds", 60)
    extension = TurnExtension(
        user_id=road.user_id, turn_id=record.turn.id, attempt=1, draft_offset=0, draft_tail=text,
        draft_parts=list(parts) or None, **more,
    )  # fmt: skip
    (turn,) = (await road.store.extend_turns([extension], lease_seconds=lease_seconds)).turns
    return turn


async def test_parts_and_the_native_form_are_stored_beside_the_text(road: Road) -> None:
    """Of the request and of the reply."""
    asked, said = ([{"type": "text", "text": text}] for text in ("Hello", "Done."))
    record = await road.begin(parts=[*asked, FILE])
    await road.complete(record, parts=[*said, SOURCE], native=NATIVE)
    stored = await road.load(record)
    assert stored.reply is not None
    assert (stored.user_message.parts, stored.reply.parts) == ([*asked, FILE], [*said, SOURCE])
    assert stored.reply.native == NATIVE


async def test_a_draft_has_the_newest_version_of_each_part(road: Road) -> None:
    """Whichever heartbeat comes last; so has the reply of a turn whose worker is gone."""
    record = await road.begin()
    for parts in ([TEXT, CALLED], [DONE], [CALLED]):
        await extend(road, record, "Look.", *parts)
    assert (await road.load(record)).draft_parts == [TEXT, DONE]
    for attempt, version, new in ((1, 2, [DONE]), (1, 3, []), (7, 3, [TEXT, DONE])):
        news = await road.store.follow_turn(
            road.user_id, record.turn.id, attempt=attempt, draft_offset=5, parts_version=version
        )
        assert news.draft_parts == new
    await extend(road, record, "", lease_seconds=0)
    await road.store.settle_expired_turn(road.user_id, record.conversation.id)
    reply = (await road.load(record)).reply
    assert reply is not None
    assert reply.parts == [{"type": "text", "text": "Look."}, FOUND]


async def test_a_write_that_names_its_place_is_taken_there_alone(road: Road) -> None:
    """It says as of how many changes of parts, and how far the text is to reach."""
    record = await road.begin()
    taken = [
        await extend(road, record, text, *parts, parts_version=version)
        for text, parts, version in [
            ("Look.", [CALLED], 0),
            ("Look. More.", [DONE], 0),
            ("Loo", [DONE], 2),
            ("Look. More.", [], 2),
        ]
    ]
    places = [(turn.draft_length, turn.parts_version) for turn in taken]
    assert places == [(5, 2), (5, 2), (5, 2), (11, 2)]
