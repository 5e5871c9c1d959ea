"""A turn that the body of a block writes: the same heart, with somebody else's AI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.ai.agents import ReplyMetadata
from shared.ai.protocol import EngineError, Usage
from shared.encoding.files import GeneratedFile
from shared.errors import TurnInProgressError
from shared.turns.own_turn import OwnTurn
from tests.support.engines import ScriptedEngine
from tests.support.heart import USER, Process, turn_request
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Held, away
from tests.support.waiting import until


def own_turn(process: Process, key: str = "k", **body: Any) -> OwnTurn:
    """Return a turn to write."""
    request = turn_request(key, **body)
    return OwnTurn(process.runner, request, name="mine", settings=process.settings)


async def write(process: Process, *pieces: str, key: str = "k", **body: Any) -> OwnTurn:
    """Write a whole turn."""
    async with own_turn(process, key, **body) as turn:
        if not turn.replayed:
            for piece in pieces:
                await turn.write(piece)
    return turn


@pytest.fixture
def process() -> Process:
    return Process(InMemoryStore())


@pytest.mark.promise("one key, one effect")
async def test_what_the_body_writes_is_the_reply(process: Process) -> None:
    """Two round trips, one reply, and its metadata as in every turn."""
    turn = await write(process, "Hel", "lo!")
    assert (turn.reply.content, turn.reply.metadata["success"]) == ("Hello!", True)
    assert turn.reply.metadata["engine"] == "mine"
    assert not turn.replayed
    assert (turn.user_message.seq, turn.reply.seq) == (1, 2)
    assert process.store.calls == {"begin_turn": 1, "complete_turn": 1}


async def test_a_body_is_given_the_history_and_who_asks(process: Process) -> None:
    """Of the conversation, up to the request and without it."""
    first = await write(process, "One.", key="1")
    async with own_turn(process, "2", conversationId=str(first.conversation_id)) as turn:
        said = [(row.role, row.content) for row in turn.history]
        asked = turn.asked
        await turn.write("Two.")
    assert said == [("user", "Hello"), ("assistant", "One.")]
    assert (asked.text, asked.user_id, asked.turn_id) == ("Hello", USER, turn.id)
    assert asked.conversation_id == first.conversation_id


@pytest.mark.promise("one key, one effect")
async def test_a_key_is_written_once(process: Process) -> None:
    """The second block is given the reply, and can write nothing."""
    first = await write(process, "Once.")
    async with own_turn(process) as again:
        assert again.replayed
        assert again.reply == first.reply
        with pytest.raises(RuntimeError, match="reply already"):
            await again.write("Twice.")
    assert process.store.calls["complete_turn"] == 1


@pytest.mark.promise("one key, one effect")
async def test_24_callers_with_one_key_write_one_reply(process: Process) -> None:
    """One writes; the others wait for it and are given what it wrote."""
    turns = await asyncio.gather(*(write(process, f"By {n}.") for n in range(24)))
    assert len({turn.reply.id for turn in turns}) == 1
    assert sum(not turn.replayed for turn in turns) == 1
    assert len(process.store.turns) == 1


async def test_what_the_body_raises_is_a_stored_failure(process: Process) -> None:
    """With the text so far, and the error goes on to the caller."""
    turn = own_turn(process)

    async def body() -> None:
        async with turn:
            await turn.write("Half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()
    assert (turn.reply.content, turn.reply.metadata["success"]) == ("Half", False)
    assert turn.reply.metadata["error"]["type"] == "provider_error"
    assert [t.status for t in process.store.turns.values()] == ["failed"]


async def test_a_body_that_writes_nothing_has_failed(process: Process) -> None:
    """A turn has a reply, also one that nobody wrote."""
    turn = await write(process)
    assert turn.reply.metadata["error"]["type"] == "empty_reply"


async def test_what_goes_with_the_text_is_stored_with_it(process: Process) -> None:
    """Usage, files, and metadata of one's own, beside that of the request."""
    async with own_turn(process, metadata={"channel": "web"}) as turn:
        await turn.write("See a.py.")
        await turn.add(Usage(input_tokens=3, output_tokens=4))
        await turn.add(GeneratedFile(path="a.py", language="python", content="x = 1\n"))
        await turn.add(ReplyMetadata({"model": "mine-7b", "success": "kept as ours"}))
    metadata = turn.reply.metadata
    assert (metadata["channel"], metadata["model"], metadata["success"]) == ("web", "mine-7b", True)
    assert metadata["usage"] == {"input_tokens": 3, "output_tokens": 4, "requests": 0}
    assert metadata["filesGenerated"] == 1
    assert turn.reply.generated_code is not None
    assert process.store.tokens_of(turn.id) == 7


async def test_parts_are_stored_in_their_place_between_the_text(process: Process) -> None:
    """A call of a tool is shown while it runs, and stored with its result."""
    call = {"type": "tool-search", "toolCallId": "1", "state": "input-available", "input": {"q": 1}}
    answered = {**call, "state": "output-available", "output": 2}
    async with own_turn(process) as turn:
        await turn.write("Let me see.")
        await turn.add(call)
        await turn.add(answered)
        await turn.write("Two.")
    assert [part["type"] for part in turn.reply.parts] == ["text", "tool-search", "text"]
    assert turn.reply.parts[1] == answered


async def test_a_body_may_say_why_it_failed(process: Process) -> None:
    """A sentence of its own, without an exception."""
    async with own_turn(process) as turn:
        await turn.add(EngineError(type="refused", message="Not that."))
    assert (turn.reply.content, turn.reply.metadata["success"]) == ("Not that.", False)


async def test_the_lease_is_kept_and_the_draft_shown_while_the_body_works(
    process: Process,
) -> None:
    """For as long as it takes: its time limit is the setting's."""
    process = Process(process.store, engine_timeout=3600)
    async with own_turn(process) as turn:
        await turn.write("So far")
        await asyncio.sleep(600)
        (stored,) = process.store.turns.values()
        assert (stored.draft, stored.is_expired) == ("So far", False)
        await turn.write(", so good.")
    assert turn.reply.content == "So far, so good."


async def test_a_stream_of_the_same_turn_shows_what_the_body_writes(process: Process) -> None:
    """Another request under its key follows it."""
    async with own_turn(process) as turn:
        await turn.write("Hel")
        reading = process.streaming()
        await asyncio.sleep(0.1)
        await turn.write("lo.")
    await reading.task
    assert reading.text() == "Hello."


async def test_a_turn_that_its_owner_stops_cancels_the_body(process: Process) -> None:
    """Wherever it waits; the block ends quietly with what was written."""
    is_cancelled = False
    async with own_turn(process) as turn:
        await turn.write("So far.")
        stopping = asyncio.create_task(process.runner.cancel(USER, turn.id))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled = True
            raise
    await stopping
    assert is_cancelled
    assert (turn.reply.content, turn.reply.metadata["success"]) == ("So far.", False)
    assert [t.status for t in process.store.turns.values()] == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_that_was_swallowed_before_the_block_is_none_of_its_own(
    process: Process,
) -> None:
    """The stop of its turn ends the block as quietly."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    async with own_turn(process) as turn:
        stopping = asyncio.create_task(process.runner.cancel(USER, turn.id))
        await asyncio.Event().wait()
    await stopping
    assert (turn.reply.metadata["success"], task.uncancel()) == (False, 0)


async def test_a_body_that_swallows_its_cancellation_is_told_again(process: Process) -> None:
    """Nothing more of it is stored."""
    async with own_turn(process) as turn:
        await turn.write("So far.")
        stopping = asyncio.create_task(process.runner.cancel(USER, turn.id))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await turn.write("And on.")
        raise AssertionError("not reached")
    await stopping
    assert turn.reply.content == "So far."


async def test_a_body_at_its_time_limit_is_cancelled(process: Process) -> None:
    """And its reply says that it took too long."""
    async with own_turn(process) as turn:
        await turn.write("So far.")
        await asyncio.Event().wait()
    assert turn.reply.metadata["error"]["type"] == "timeout"
    assert turn.reply.content == "So far."


async def test_a_body_at_the_largest_reply_is_cancelled() -> None:
    """Its reply is good, and says that it was cut."""
    process = Process(InMemoryStore(), max_reply_chars=10)
    async with own_turn(process) as turn:
        while True:
            await turn.write("0123456")
    assert (turn.reply.content, turn.reply.metadata["truncated"]) == ("0123456012", True)


@pytest.mark.promise("fencing")
async def test_a_body_whose_turn_was_taken_over_writes_nothing(process: Process) -> None:
    """It is cancelled at the next heartbeat, and the block ends with what the other stored."""
    other = Process(process.store)
    process.store.faults["extend_turns"] = away
    async with own_turn(process) as turn:
        await turn.write("Mine.")
        await asyncio.sleep(30)  # its lease is over
        process.store.faults.clear()
        theirs = await write(other, "Theirs.")
        await asyncio.Event().wait()
    assert turn.reply == theirs.reply
    assert (theirs.reply.content, theirs.replayed) == ("Theirs.", False)
    assert [row.content for rows in process.store.messages.values() for row in rows] == [
        "Hello",
        "Theirs.",
    ]


@pytest.mark.promise("fencing")
async def test_a_body_that_ends_after_its_turn_was_lost_is_told(process: Process) -> None:
    """While the other still writes there is no reply to give: the same key leads to it later."""
    other = Process(process.store)
    process.store.faults["extend_turns"] = away
    theirs = own_turn(other)

    async def body() -> None:
        async with own_turn(process) as turn:
            await turn.write("Mine.")
            await asyncio.sleep(30)
            process.store.faults.clear()
            await theirs.__aenter__()

    with pytest.raises(TurnInProgressError):
        await body()
    await theirs.write("Theirs.")
    await theirs.__aexit__(None, None, None)
    again = await write(process)
    assert (again.reply, again.replayed) == (theirs.reply, True)


@pytest.mark.promise("safe retry")
async def test_a_turn_whose_process_died_is_written_again_under_its_key(process: Process) -> None:
    """Once its lease is over, by a body of another process."""
    is_writing = asyncio.Event()

    async def dying() -> None:
        async with own_turn(process) as turn:
            await turn.write("Lost")
            is_writing.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(dying())
    await is_writing.wait()
    process.die()
    await asyncio.wait({task})
    turn = await write(Process(process.store, retry_wait_seconds=60), "Whole.")
    assert (turn.reply.content, turn.replayed) == ("Whole.", False)
    (stored,) = process.store.turns.values()
    assert (stored.attempt, stored.status) == (2, "completed")


async def test_a_body_that_is_cancelled_from_outside_leaves_an_interrupted_reply(
    process: Process,
) -> None:
    """Its task ends at once, and the worker stores what there was."""
    is_writing = asyncio.Event()

    async def body() -> None:
        async with own_turn(process) as turn:
            await turn.write("So far.")
            is_writing.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await is_writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: all(t.reply for t in process.store.turns.values()))
    (stored,) = process.store.turns.values()
    assert (stored.status, stored.reply and stored.reply.content) == ("interrupted", "So far.")


async def test_a_caller_that_goes_away_while_the_turn_begins_leaves_no_open_turn(
    process: Process,
) -> None:
    """What was begun is ended, instead of being kept alive for nobody."""
    process.store.faults["begin_turn"] = held = Held()
    task = asyncio.create_task(write(process, "Never."))
    await held.committed.wait()
    task.cancel()
    await asyncio.wait({task})
    held.release.set()
    (stored,) = process.store.turns.values()
    await until(lambda: stored.reply is not None, seconds=1)
    assert stored.status == "interrupted"


async def test_a_body_in_a_generator_that_is_closed_ends_its_turn(process: Process) -> None:
    """As a web framework does whose client has left."""

    async def pieces() -> AsyncIterator[str]:
        async with own_turn(process) as turn:
            await turn.write("So far.")
            yield "So far."
            await turn.write("Never.")

    stream = pieces()
    assert await anext(stream) == "So far."
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: all(t.reply for t in process.store.turns.values()))
    (stored,) = process.store.turns.values()
    assert stored.status == "interrupted"


async def test_mega_mind_and_a_block_share_a_key(process: Process) -> None:
    """The service's own engine and a body are two writers of one kind of turn."""
    engine = ScriptedEngine("By the engine.")
    process = Process(process.store, engine)
    answer = await process.ask(key=str(uuid4()))
    await write(process, "By the body.")
    again = await process.ask()
    assert answer.message.content == "By the engine."
    assert (again.message.content, again.replayed) == ("By the body.", True)
    assert len(engine.requests) == 1


async def test_a_turn_is_written_in_its_block_alone(process: Process) -> None:
    """Before and after there is nothing to write to."""
    turn = own_turn(process)
    with pytest.raises(RuntimeError):
        await turn.write("Too early.")
    async with turn:
        await turn.write("In time.")
    with pytest.raises(RuntimeError):
        await turn.write("Too late.")
