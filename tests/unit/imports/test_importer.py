"""A file on its way into the store: staged, committed, reported; discarded where that fails."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import IdempotencyKeyReusedError, StoreUnavailableError
from shared.imports.importer import ImportJob
from shared.models.transfers import ImportOutcome, ImportOutcomes, ReadConversation

KNOWN = uuid4()


class FakeUpload:
    """What a file held, without a file."""

    def __init__(self, *conversations: ReadConversation) -> None:
        self.conversations = list(conversations)

    async def parts(self) -> AsyncIterator[dict[str, Any]]:
        """Yield two parts."""
        yield {"conversations": [{}], "messages": [{}, {}]}
        yield {"conversations": [], "messages": [{}]}


class FakeStore:
    """Takes parts and answers with these outcomes."""

    def __init__(self, *outcomes: ImportOutcome, fails_at: str = "") -> None:
        self.calls: list[str] = []
        self._outcomes = list(outcomes)
        self._fails_at = fails_at

    async def stage_import(self, *_: UUID, part: int, **__: Any) -> None:
        """Keep a part."""
        self._call(f"stage {part}")

    async def commit_import(self, *_: UUID, parts: int) -> ImportOutcomes:
        """Take the parts."""
        self._call(f"commit {parts}")
        return ImportOutcomes(conversations=self._outcomes)

    async def discard_import(self, *_: UUID) -> None:
        """Forget them."""
        self._call("discard")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self._fails_at:
            raise StoreUnavailableError


def read(**more: Any) -> ReadConversation:
    """Return a conversation that is staged."""
    values = {"id": uuid4(), "source": "chatgpt", "source_id": "s", "title": "T", "messages": 3}
    return ReadConversation(**{**values, **more})


def outcome(one: ReadConversation, **more: Any) -> ImportOutcome:
    """Return what became of it: it was there already, unless said otherwise."""
    assert one.id is not None
    values = {"id": one.id, "is_taken": False, "known_id": KNOWN, "is_same": True}
    return ImportOutcome(**{**values, **more})


def job(store: FakeStore, *conversations: ReadConversation) -> ImportJob:
    """Return the job that stores these."""
    fakes: list[Any] = [store, FakeUpload(*conversations)]
    return ImportJob(*fakes, user_id=uuid4())


async def test_what_became_of_each_conversation_is_reported() -> None:
    """Taken, grown, known, and not staged at all."""
    new, grown, here = read(kept={"file": 1}), read(), read(original_id=str(KNOWN))
    again, odd = read(), ReadConversation(title="Odd", reason="unreadable")
    store = FakeStore(
        outcome(new, is_taken=True, known_id=None),
        outcome(grown, appended=2, changed=1),
        outcome(here),
        outcome(again),
    )
    report = await job(store, new, grown, here, again, odd).run()
    assert store.calls == ["stage 0", "stage 1", "commit 2"]
    assert [(one.conversation_id, one.kept) for one in report.taken] == [(new.id, {"file": 1})]
    assert [(one.conversation_id, one.messages, one.changed) for one in report.updated] == [
        (KNOWN, 2, 1)
    ]
    assert [one.reason for one in report.skipped] == [
        "already_here", "already_imported", "unreadable",
    ]  # fmt: skip
    assert (report.sources, report.messages) == (["chatgpt"], 5)


async def test_a_key_that_named_another_list_is_an_error() -> None:
    """Nothing of it was taken; the same list again is known. What else was taken is reported."""
    one = read(source="list", is_list=True)
    assert (await job(FakeStore(outcome(one)), one).run()).skipped[0].reason == "already_imported"
    with pytest.raises(IdempotencyKeyReusedError):
        await job(FakeStore(outcome(one, is_same=False)), one).run()
    other = read()
    store = FakeStore(outcome(one, is_same=False), outcome(other, is_taken=True))
    report = await job(store, one, other).run()
    assert (report.skipped[0].reason, len(report.taken)) == ("key_reused", 1)


@pytest.mark.parametrize("step", ["stage 1", "commit 2"])
async def test_what_was_staged_is_discarded_where_a_step_fails(step: str) -> None:
    """And the error is the step's."""
    store = FakeStore(fails_at=step)
    with pytest.raises(StoreUnavailableError):
        await job(store, read()).run()
    assert store.calls[-2:] == [step, "discard"]


async def test_progress_counts_messages_and_the_report_ends_it() -> None:
    """As a stream."""
    one = read()
    events = [e async for e in job(FakeStore(outcome(one, is_taken=True)), one).events()]
    assert [(event.name, event.data.get("done")) for event in events] == [
        ("progress", 2), ("progress", 3), ("done", None),
    ]  # fmt: skip
    assert events[-1].data["taken"][0]["conversationId"] == str(one.id)


async def test_a_reader_that_leaves_discards_what_was_staged() -> None:
    """Before the commit, nothing of it is there."""
    store = FakeStore()
    events: Any = job(store, read()).events()
    await anext(events)
    await events.aclose()
    assert store.calls == ["stage 0", "discard"]
