"""One key, one turn: however many ask for it, at once or again, and where there is no room."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from shared.ai.protocol import EngineEvent, EngineRequest, Finished
from shared.auth.caller import Caller
from shared.errors import (
    AppError,
    ConversationNotFoundError,
    IdempotencyKeyReusedError,
    StoreUnavailableError,
    TooManyTurnsError,
    TurnInProgressError,
    UnauthorizedError,
    UnavailableError,
    UserNotFoundError,
)
from shared.models.turns import MegaMindRequest
from tests.support.engines import FailingEngine, ScriptedEngine
from tests.support.heart import USER, Process, begin, turn_request
from tests.support.in_memory_store import InMemoryStore
from tests.support.store_faults import Call, Held, away
from tests.support.waiting import until

CALLERS = 24
NATIVE = {"framework": "any", "version": "1", "data": []}


class KeepingEngine(ScriptedEngine):
    """Keeps all that it was asked, and gives all that a reply can have."""

    name = "keeping"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[EngineRequest] = []

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Add a native form to the result."""
        self.asked.append(asked)
        async for event in super().run(asked):
            if isinstance(event, Finished):
                yield Finished(event.result.model_copy(update={"native": NATIVE}))
            else:
                yield event


@pytest.mark.promise("one key, one effect")
@pytest.mark.parametrize("processes", [1, 3])
async def test_24_callers_with_one_key_are_one_turn(processes: int) -> None:
    """All are answered with the one reply, wherever they ask; the AI is asked once."""
    store, engine = InMemoryStore(), ScriptedEngine("Once.", hold=True)
    house = [Process(store, engine) for _ in range(processes)]
    callers = [house[n % processes].asking() for n in range(CALLERS)]
    await asyncio.sleep(5)
    engine.release.set()
    responses = await asyncio.gather(*callers)
    again = await house[0].ask()
    bodies = [response.model_dump(exclude={"replayed"}) for response in [*responses, again]]
    assert bodies == [bodies[0]] * (CALLERS + 1)
    assert [response.replayed for response in responses].count(False) == 1
    assert again.replayed
    assert again.message.metadata["persistedAfter"] >= 0
    assert engine.requests == ["Hello"]
    assert [row.role for rows in store.messages.values() for row in rows] == ["user", "assistant"]


async def test_a_turn_is_forgotten_however_it_ends() -> None:
    """Also where it fails, and where its conversation is deleted: its place is free again."""
    store = InMemoryStore()
    gate = ScriptedEngine(hold=True)
    deleted = Process(store, gate, max_concurrent_turns=1)
    asking = deleted.asking()
    await gate.started.wait()
    store.forget_conversation(next(iter(store.messages)))
    gate.release.set()
    with pytest.raises(ConversationNotFoundError):
        await asking
    await asyncio.sleep(1)
    assert not deleted.registry.working
    assert (await deleted.ask("next")).success
    failing = Process(store, FailingEngine(), max_concurrent_turns=1)
    for key in ("one", "two"):
        assert not (await failing.ask(key)).success
        await asyncio.sleep(0)


async def test_a_stored_reply_answers_its_key_before_its_worker_knows() -> None:
    """Whoever asks again doesn't wait for the answer that the worker waits for."""
    store, held = InMemoryStore(), Held()
    process = Process(store)
    store.faults["complete_turn"] = held
    asking = process.asking()
    await held.committed.wait()
    again = await asyncio.wait_for(process.ask(), 1)
    held.release.set()
    assert (again.replayed, again.message) == (True, (await asking).message)


async def test_a_turn_that_regenerates_asks_what_was_asked() -> None:
    """Its own request says nothing."""
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine)
    first = await process.ask()
    (reply,) = (turn.reply for turn in store.turns.values())
    assert reply is not None
    body = MegaMindRequest(conversationId=first.conversation_id, regenerates=reply.id)
    again = await process.runner.run(replace(turn_request("again"), body=body))
    assert not again.replayed
    assert engine.requests == ["Hello", "Hello"]


async def test_whatever_a_request_says_reaches_the_store_and_the_ai(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the limits that are set, and what this process was sent of the history before."""
    store, engine = InMemoryStore(), KeepingEngine()
    process = Process(store, engine, turns_per_day=50, tokens_per_day=60_000)
    first = await process.ask("first", projectId=USER)
    begun = AsyncMock(side_effect=store.begin_turn)
    monkeypatch.setattr(store, "begin_turn", begun)
    (turn,) = store.turns.values()
    part = {"type": "file", "mediaType": "image/png", "url": "https://x.example/a.png"}
    body: dict[str, Any] = {
        "conversationId": turn.conversation_id,
        "edits": turn.user_message.id,
        "parts": [part],
    }
    request = replace(turn_request("second", **body), opens_conversation=True)
    answer = await process.runner.run(request)
    asked = begun.await_args_list[0].kwargs
    assert turn.reply is not None
    assert {
        "edits": turn.user_message.id,
        "opens_conversation": True,
        "turns_per_day": 50,
        "tokens_per_day": 60_000,
        "known_from": 1,
        "known_id": turn.user_message.id,
    }.items() <= asked.items()
    (_, given) = engine.asked
    assert (given.project_id, [*given.parts][1:]) == (USER, [part])
    assert answer.message.metadata["intent"] == "explain"
    assert answer.message.metadata["context"]["messages"] == 0
    assert first.message.metadata["engine"] == "keeping"
    assert [row.native for row in store.messages[turn.conversation_id][1::2]] == [NATIVE] * 2


@pytest.mark.parametrize(
    ("caller", "error"),
    [(Caller(USER, "token"), UnauthorizedError), (Caller(None, None), UserNotFoundError)],
)
async def test_an_account_that_is_gone_begins_nothing(
    caller: Caller, error: type[AppError]
) -> None:
    """With its own token it is not let in, for the service it is not there."""
    store = InMemoryStore()

    async def no_account(_: Call) -> Any:
        raise UnauthorizedError

    store.faults["begin_turn"] = no_account
    request = replace(turn_request(), caller=caller)
    with pytest.raises(error) as caught:
        await Process(store).runner.run(request)
    assert type(caught.value) is error


@pytest.mark.promise("one key, one effect", red="`begin_turn` does not compare the request")
async def test_one_key_for_another_request_is_refused() -> None:
    """And nothing of it is stored; the first one stays."""
    process = Process(InMemoryStore())
    first = await process.ask()
    with pytest.raises(IdempotencyKeyReusedError):
        await process.ask(request="Another")
    assert (await process.ask()).message == first.message


async def test_a_busy_conversation_names_the_turn_that_runs() -> None:
    """Another key has to wait for it, at once and on a stream; afterwards it is free."""
    store, engine = InMemoryStore(), ScriptedEngine(hold=True)
    process = Process(store, engine)
    chat: dict[str, Any] = {"conversationId": str(store.add_conversation(USER).id)}
    running = process.asking("one", **chat)
    await engine.started.wait()
    with pytest.raises(TurnInProgressError) as caught:
        await process.ask("two", **chat)
    with pytest.raises(TurnInProgressError):
        await process.runner.stream(turn_request("two", **chat))
    engine.release.set()
    assert 1 <= (caught.value.retry_after or 0) <= 2
    assert caught.value.details["turnId"] == str((await running).turn_id)
    assert not (await process.ask("two", **chat)).replayed


@pytest.mark.promise("limits")
async def test_a_full_process_refuses_before_anything_is_asked() -> None:
    """What begins, what runs and what stores nothing take a place each."""
    store, engine = InMemoryStore(), ScriptedEngine(hold=True)
    process = Process(store, engine, max_concurrent_turns=1)
    body = MegaMindRequest(request="Hello")
    caller = Caller(USER, "token")

    async def unstored() -> object:
        return await process.runner.unstored.run(body, user_id=USER, caller=caller)

    for first in (process.ask, unstored):
        taking = asyncio.create_task(first())
        calls = store.calls.total()
        for moment in (0.0, 10.0):  # while it begins, and while it runs
            await asyncio.sleep(moment)
            for refused in (process.ask("other"), unstored()):
                with pytest.raises(UnavailableError):
                    await refused
        assert store.calls["begin_turn"] + store.calls["count_unstored_turn"] <= calls + 1
        engine.release.set()
        await taking
        await asyncio.sleep(1)
        engine.release.clear()


@pytest.mark.promise("limits", red="they are not counted")
async def test_what_stores_nothing_counts_towards_its_users_limits() -> None:
    """After a turn, and before the AI is asked; strangers have no limits and need no store."""
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine, turns_per_minute=2)
    body, caller = MegaMindRequest(request="Unstored"), Caller(USER, "token")
    await process.ask()
    await process.runner.unstored.run(body, user_id=USER, caller=caller)
    for refused in (
        process.runner.unstored.run(body, user_id=USER, caller=caller),
        process.ask("new"),
    ):
        with pytest.raises(TooManyTurnsError) as caught:
            await refused
        assert 1 <= (caught.value.retry_after or 0) <= 60
    stranger = await process.runner.unstored.run(body, user_id=None, caller=None)
    assert (stranger.turn_id, stranger.user_message) == (None, None)
    assert engine.requests == ["Hello", "Unstored", "Unstored"]
    await asyncio.sleep(61)
    assert (await process.ask("new")).success
    store.faults["count_unstored_turn"] = away
    with pytest.raises(StoreUnavailableError):
        await process.runner.unstored.run(body, user_id=USER, caller=caller)
    with pytest.raises(StoreUnavailableError):  # who has no limits may have no account any more
        await Process(store).runner.unstored.run(body, user_id=USER, caller=caller)
    assert (await process.runner.unstored.run(body, user_id=None, caller=None)).success
    assert len(engine.requests) == 5


async def test_what_stores_nothing_reads_the_conversation_that_it_names() -> None:
    """The user's own alone, also with the service key; a stranger has none."""
    store, engine = InMemoryStore(), ScriptedEngine()
    process = Process(store, engine)
    chat = (await process.ask()).conversation_id
    body = MegaMindRequest(request="And?", conversationId=chat)
    await process.runner.unstored.run(body, user_id=USER, caller=Caller(USER, "token"))
    assert [row.content for row in engine.histories[1]] == ["Hello", "Done."]
    other = uuid4()
    for caller in (Caller(None, None), Caller(other, "token")):
        with pytest.raises(ConversationNotFoundError):
            await process.runner.unstored.run(body, user_id=other, caller=caller)
    with pytest.raises(UnauthorizedError):
        await process.runner.unstored.run(body, user_id=None, caller=None)
    assert [len(rows) for rows in store.messages.values()] == [2]


async def test_a_turn_that_waits_too_long_for_another_process_is_in_progress() -> None:
    """A retry is to come back; the turn goes on where it is."""
    store = InMemoryStore()
    await begin(store, lease_seconds=3_600)
    clock = asyncio.get_running_loop().time
    started = clock()
    with pytest.raises(TurnInProgressError):
        await Process(store, retry_wait_seconds=20).ask()
    assert 20 <= clock() - started < 21


@pytest.mark.promise("shutdown", red="`drain` waits for nothing")
async def test_a_process_that_ends_waits_for_its_turns_and_leaves_what_takes_longer() -> None:
    """A turn that is left runs out of its lease, and is taken over elsewhere."""
    store, engine = InMemoryStore(), ScriptedEngine(hold=True)
    process = Process(store, engine)
    await process.registry.drain(10)
    process.asking("quick")
    late = process.asking("late")
    await until(lambda: len(engine.requests) == 2)
    asyncio.get_running_loop().call_later(5, engine.release.set)
    await process.registry.drain(10)
    assert not process.registry.working
    assert [turn.status for turn in store.turns.values()] == ["completed"] * 2
    engine.release.clear()
    later = process.asking("later")
    await until(lambda: len(engine.requests) == 3)
    clock = asyncio.get_running_loop().time
    started = clock()
    await process.registry.drain(10)
    assert 10 <= clock() - started < 13
    assert not process.registry.working
    assert (await late).success
    with pytest.raises(UnavailableError):
        await later
    engine.release.set()
    taken_over = await Process(store, engine, retry_wait_seconds=60).ask("later")
    assert (taken_over.success, taken_over.replayed) == (True, False)
    assert list(store.turns.values())[-1].attempt == 2
