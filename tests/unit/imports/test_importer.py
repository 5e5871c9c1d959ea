"""A file on its way into the store: read, taken part by part, reported; gone on with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.auth.caller import Caller
from shared.errors import (
    IdempotencyKeyReusedError,
    ImportIncompleteError,
    InvalidImportError,
    StoreUnavailableError,
)
from shared.imports import importer
from shared.imports.importer import Importer, ImportJob
from shared.models.transfers import ImportOutcome, ImportOutcomes, ReadConversation, ReadFile

KNOWN, NEW = uuid4(), uuid4()


class FakeUpload:
    """What a file held, without a file: a part for each of these lists."""

    def __init__(self, *parts: list[ReadConversation]) -> None:
        self._parts = parts
        self.found = ReadFile(
            digest="d",
            sources=["chatgpt"],
            messages=3 * len(parts),
            parts=sum(any(one.place is not None for one in part) for part in parts),
        )

    async def parts(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the parts; a conversation has a piece in the one that it ends with."""
        for reads in self._parts:
            pieces = [{"place": one.place} for one in reads if one.place is not None]
            yield {
                "pieces": pieces,
                "reads": [one.model_dump(mode="json") for one in reads],
                "messages": 3,
            }


class FakeStore:
    """Takes parts and answers with the outcomes of their pieces; fails so often before that."""

    def __init__(
        self, *outcomes: ImportOutcome, fails: int = 0, error: type[Exception] | None = None
    ) -> None:
        self.calls: list[tuple[int, bool]] = []
        self.imports: set[UUID] = set()
        self.is_over: list[bool] = []
        self._outcomes = {outcome.place: outcome for outcome in outcomes}
        self._taken: dict[int, list[ImportOutcome]] = {}
        self._fails = fails
        self._error = error or StoreUnavailableError

    async def take_import_part(
        self,
        user_id: UUID,
        import_id: UUID,
        *,
        part: int,
        pieces: list[dict[str, Any]] | None,
        is_over: bool,
    ) -> ImportOutcomes:
        """Take a part, and keep what came of it."""
        self.calls.append((part, pieces is not None))
        self.imports.add(import_id)
        self.is_over.append(is_over)
        if self._fails:
            self._fails -= 1
            raise self._error
        if pieces is not None and part not in self._taken:
            self._taken[part] = [self._outcomes[one["place"]] for one in pieces]
        return ImportOutcomes(outcome=self._taken.get(part))


def read(place: int | None, **more: Any) -> ReadConversation:
    """Return a conversation that is stored."""
    values = {"place": place, "source": "chatgpt", "source_id": "s", "title": "T", "messages": 3}
    return ReadConversation(**{**values, **more})


def outcome(place: int, **more: Any) -> ImportOutcome:
    """Return what became of a piece: it was there already, unless said otherwise."""
    values = {"place": place, "id": None, "is_taken": False, "known_id": KNOWN, "is_same": True,
              "appended": 0, "changed": 0}  # fmt: skip
    return ImportOutcome(**{**values, **more})


def taken(place: int) -> ImportOutcome:
    """Return that it was taken."""
    return outcome(place, id=NEW, is_taken=True, known_id=None)


def job(store: FakeStore, *parts: list[ReadConversation], key: str | None = None) -> ImportJob:
    """Return the job that takes these parts."""
    fakes: list[Any] = [store, asyncio.get_running_loop().create_future()]
    fakes[1].set_result(FakeUpload(*parts))
    return ImportJob(*fakes, user_id=uuid4(), key=key)


async def report_of(job: ImportJob) -> Any:
    """Take a file; return its report."""
    event = await job.run()
    assert event.name == "done"
    assert isinstance(event.data, str)
    return json.loads(event.data)


async def test_what_became_of_each_conversation_is_reported() -> None:
    """Taken, grown, known, and not stored at all."""
    reads = [
        read(0, kept={"file": 1}), read(1), read(2, original_id=str(KNOWN)), read(3),
        ReadConversation(title="Odd", reason="unreadable"),
    ]  # fmt: skip
    store = FakeStore(taken(0), outcome(1, appended=2, changed=1), outcome(2), outcome(3))
    report = await report_of(job(store, reads))
    assert [(one["conversationId"], one["kept"]) for one in report["taken"]] == [
        (str(NEW), {"file": 1})
    ]
    assert [(r["conversationId"], r["messages"], r["changed"]) for r in report["updated"]] == [
        (str(KNOWN), 2, 1)
    ]
    assert [one["reason"] for one in report["skipped"]] == [
        "already_here", "already_imported", "unreadable",
    ]  # fmt: skip
    assert (report["sources"], report["messages"]) == (["chatgpt"], 5)


async def test_what_came_of_several_pieces_is_one_line_of_the_report() -> None:
    """The last piece says whose it is; what was appended before counts."""
    upload = FakeUpload([], [read(0)])
    parts = [
        {"pieces": [{"place": 0}], "reads": [], "messages": 3},
        {"pieces": [{"place": 0}], "reads": [read(0).model_dump(mode="json")], "messages": 3},
    ]

    async def two() -> AsyncIterator[dict[str, Any]]:
        for part in parts:
            yield part

    upload.parts = two  # type: ignore[method-assign]
    future = asyncio.get_running_loop().create_future()
    future.set_result(upload)
    fakes: list[Any] = [FakeStore(outcome(0, appended=2, changed=1)), future]
    report = await report_of(ImportJob(*fakes, user_id=uuid4(), key=None))
    (updated,) = report["updated"]
    assert (updated["messages"], updated["changed"]) == (4, 2)


async def test_a_key_that_named_another_list_is_an_error() -> None:
    """Nothing of it was taken; the same list again is known. What else was taken is reported."""
    one = read(0, source="list", is_list=True)
    known = await report_of(job(FakeStore(outcome(0)), [one]))
    assert known["skipped"][0]["reason"] == "already_imported"
    with pytest.raises(IdempotencyKeyReusedError):
        await job(FakeStore(outcome(0, is_same=False)), [one]).run()
    store = FakeStore(outcome(0, is_same=False), taken(1))
    report = await report_of(job(store, [one, read(1)]))
    assert (report["skipped"][0]["reason"], len(report["taken"])) == ("key_reused", 1)


async def test_a_part_that_fails_is_taken_again() -> None:
    """A call that was given up may have done its part: asking again is how that is known."""
    store = FakeStore(taken(0), fails=2)
    assert (await report_of(job(store, [read(0)])))["messages"] == 3
    assert store.calls == [(0, True)] * 3
    with pytest.raises(StoreUnavailableError):
        await job(FakeStore(taken(0), fails=3), [read(0)]).run()
    final = FakeStore(taken(0), fails=1, error=ImportIncompleteError)
    with pytest.raises(ImportIncompleteError):
        await job(final, [read(0)]).run()
    assert len(final.calls) == 1


@pytest.mark.promise("imports", red="the import's id new for each call; every part numbered 0")
async def test_the_same_file_goes_on_where_it_stopped() -> None:
    """What was taken is not sent again; another key is another import."""
    parts = [[read(0)], [read(1)], [read(2)]]
    store = FakeStore(*map(taken, range(3)))
    events: Any = job(store, *parts, key="k").events()
    await anext(events)
    await anext(events)
    await events.aclose()
    stopped = list(store.calls)
    report = await report_of(job(store, *parts, key="k"))
    assert stopped == [(0, True), (1, False), (1, True)]
    assert store.calls[len(stopped) :] == [(0, True), (1, False), (2, False), (2, True)]
    assert (len(report["taken"]), len(store.imports)) == (3, 1)
    await report_of(job(store, *parts, key="other"))
    assert len(store.imports) == 2


async def test_a_file_without_a_key_is_known_once_all_of_it_was_taken() -> None:
    """With one its report can be had again."""
    for key in (None, "k"):
        store = FakeStore(taken(0), taken(1))
        await report_of(job(store, [read(0)], [read(1)], key=key))
        assert (store.is_over[0], store.is_over[-1]) == (False, key is None)


async def test_what_takes_longer_than_a_gateway_waits_is_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one part more each time, so that asking again comes to an end."""
    monkeypatch.setattr(importer, "ANSWER_SECONDS", 0)
    monkeypatch.setattr(importer, "LEAST_SECONDS", 0)
    parts = [[read(place)] for place in range(4)]
    store = FakeStore(*map(taken, range(4)))
    events = [await job(store, *parts, key="k").run() for _ in range(3)]
    assert [event.data for event in events[:2]] == [
        {"done": 6, "total": 12}, {"done": 9, "total": 12},
    ]  # fmt: skip
    assert [event.name for event in events] == ["progress", "progress", "done"]


async def test_progress_counts_messages_and_the_report_ends_it() -> None:
    """As a stream."""
    store = FakeStore(taken(0), taken(1))
    events = [event async for event in job(store, [read(0)], [read(1)]).events()]
    assert [(event.name, event.place) for event in events] == [
        ("progress", 3), ("progress", 6), ("done", 6),
    ]  # fmt: skip


async def test_progress_begins_before_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is sent something each second."""
    monkeypatch.setattr(importer, "PROGRESS_SECONDS", 0.001)
    reading: Any = asyncio.get_running_loop().create_future()
    fakes: list[Any] = [FakeStore(taken(0)), reading]
    events = ImportJob(*fakes, user_id=uuid4(), key=None).events()
    first = [await anext(events), await anext(events)]
    reading.set_result(FakeUpload([read(0)]))
    rest = [event async for event in events]
    assert [event.data for event in first] == [{"done": 0, "total": 0}] * 2
    assert rest[-1].name == "done"


async def test_a_place_is_held_until_the_file_is_read() -> None:
    """Also where nobody waits for it any more, or it can't be read."""
    persistence: Any = FakeStore()
    importing = Importer(persistence, max_bytes=1000)
    released = asyncio.Event()
    held = AsyncExitStack()
    held.callback(released.set)
    with TemporaryFile() as file:
        job = importing.begin(
            file,
            is_zip=False,
            user_id=uuid4(),
            caller=Caller(user_id=uuid4(), token="t"),
            key=None,
            until_read=held,
        )
        assert not released.is_set()
        with pytest.raises(InvalidImportError, match="empty"):
            await job.run()
    assert released.is_set()
