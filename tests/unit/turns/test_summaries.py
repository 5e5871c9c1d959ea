"""When a conversation is summarised, and what becomes of a summariser that doesn't do."""

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from shared.ai.protocol import Usage
from shared.ai.tokens import estimate_tokens
from shared.errors import StoreUnavailableError
from shared.models.context import HistoryContext, Unsummarised, WrittenSummary
from shared.models.rows import ConversationRow
from shared.models.turns import CountedTokens, TurnRecord
from shared.persistence import Persistence
from shared.turns import summaries as summary_module
from shared.turns.summaries import Summaries
from tests.support.engines import ScriptedSummariser
from tests.support.heart import Process, begin
from tests.support.in_memory_store import InMemoryStore
from tests.support.unit_settings import unit_settings

pytestmark = pytest.mark.promise("context")

BUDGET = 400


@dataclass
class FakePersistence(Persistence):
    """Has so many messages left that no summary covers, one a part; keeps what is written."""

    parts: int = 1
    outcome: str = "written"
    written: list[dict[str, Any]] = field(default_factory=list)
    is_away: bool = False
    tokens: Counter[uuid.UUID] = field(default_factory=Counter)
    loses_counts: bool = False

    async def load_unsummarised(
        self,
        user_id: uuid.UUID,
        conversation_id: uuid.UUID,
        *,
        history_tokens: int,
    ) -> Unsummarised:
        if self.is_away:
            raise StoreUnavailableError
        place = len(self.written) + 1
        rows = [{"seq": place, "role": "user", "content": "Hi"}] if place <= self.parts else []
        return Unsummarised(
            previous=None,
            messages=rows,
            covers_to=place if rows else None,
            longest=50,
        )

    async def add_tokens(
        self, user_id: uuid.UUID, turn_id: uuid.UUID, *, tokens: int
    ) -> CountedTokens:
        if self.loses_counts:
            raise StoreUnavailableError
        self.tokens[turn_id] += tokens
        return CountedTokens(is_counted=True)

    async def write_summary(
        self, user_id: uuid.UUID, conversation_id: uuid.UUID, **given: Any
    ) -> WrittenSummary:
        if self.outcome == "written":
            self.written.append(given)
        return WrittenSummary.model_validate({"outcome": self.outcome})


def keeper(
    persistence: FakePersistence, summariser: ScriptedSummariser, **changed: Any
) -> Summaries:
    """Return a keeper of summaries with a small budget."""
    settings = {"history_tokens": BUDGET, "summary_tokens": 50, "engine_timeout": 5.0} | changed
    return Summaries(persistence, summariser, unit_settings(**settings))


async def begun(since: int = BUDGET, conversation: ConversationRow | None = None) -> TurnRecord:
    """Return a turn of a conversation in which so many tokens came since its last summary."""
    record = await begin(InMemoryStore())
    context = HistoryContext(covers_to=0, omitted=0, longest=100, is_whole=True, since_tokens=since)
    conversation = conversation or record.conversation
    return record.model_copy(update={"context": context, "conversation": conversation})


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[structlog.typing.EventDict]:
    """What summaries log, however this process's logs are configured by now."""
    capture = LogCapture()
    log = structlog.wrap_logger(None, [capture], structlog.BoundLogger)
    monkeypatch.setattr(summary_module, "log", log)
    return capture.entries


async def reply_to(summaries: Summaries, turn: TurnRecord | None = None) -> None:
    """Let a reply be stored, and what follows it in the background end."""
    summaries.after_reply(turn or await begun(), "Reply.")
    await summaries.drain(10)


async def test_a_stored_reply_may_make_a_summary_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked after each of them, and after no replay."""
    replies: list[str] = []
    monkeypatch.setattr(Summaries, "after_reply", lambda _, __, reply: replies.append(reply))
    process = Process(InMemoryStore())
    for _ in range(2):
        await process.ask()
    assert replies == ["Done."]


@pytest.mark.parametrize(("more", "count"), [(0, 0), (1, 1)])
async def test_half_a_budget_since_the_last_summary_makes_one_due(more: int, count: int) -> None:
    """The request and the reply count too."""
    persistence = FakePersistence()
    turn = estimate_tokens("Hello") + estimate_tokens("Reply.")
    summaries = keeper(persistence, ScriptedSummariser())
    await reply_to(summaries, await begun(BUDGET // 2 - turn + more))
    assert len(persistence.written) == count


@pytest.mark.parametrize("switched_off", [{"summary_tokens": 0}, {"history_tokens": 0}])
async def test_summaries_can_be_switched_off(switched_off: dict[str, int]) -> None:
    """By their own size, or with the history as a whole."""
    summariser = ScriptedSummariser()
    await reply_to(keeper(FakePersistence(), summariser, **switched_off))
    assert summariser.asked == []


@pytest.mark.promise("costs", red="the summariser asked while there are parts")
async def test_one_reply_makes_one_call_of_the_summariser() -> None:
    """What is left is done after later replies, each part upon the summary of those before."""
    persistence, summariser = FakePersistence(parts=1_000), ScriptedSummariser()
    summaries = keeper(persistence, summariser)
    for calls in range(1, 4):
        await reply_to(summaries)
        assert len(summariser.asked) == calls
    assert [row["covers_to"] for row in persistence.written] == [1, 2, 3]
    assert persistence.written[0]["metadata"]["engine"] == "scripted"


@pytest.mark.promise("costs", red="`_count` taken out of `_ask`")
async def test_a_summary_counts_towards_the_turn_of_its_reply() -> None:
    """As reported, else by estimate; also one that fails, or whose count can't be kept."""
    persistence, turn = FakePersistence(parts=9), await begun()
    reporting, silent = ScriptedSummariser(), ScriptedSummariser()
    failing = ScriptedSummariser(error=RuntimeError())
    reporting.usage = Usage(input_tokens=1_000, output_tokens=50)
    counts: list[int] = []
    for summariser in (reporting, silent, failing):
        await reply_to(keeper(persistence, summariser), turn)
        counts.append(persistence.tokens[turn.turn.id] - sum(counts))
    given = estimate_tokens("") + estimate_tokens("Hi")
    assert counts == [1_050, given + estimate_tokens("Summed up."), given]
    assert persistence.written[0]["metadata"]["usage"]["input_tokens"] == 1_000
    persistence.loses_counts = True
    await reply_to(keeper(persistence, silent))
    assert len(persistence.written) == 3


@pytest.mark.parametrize(
    "summariser",
    [ScriptedSummariser(error=RuntimeError("sk-secret")), ScriptedSummariser(" \n")],
    ids=["raises", "blank"],
)
async def test_a_failing_summariser_is_logged_once_and_left_alone_for_a_while(
    summariser: ScriptedSummariser, logs: list[structlog.typing.EventDict]
) -> None:
    """Nothing is written, other conversations are tried, and after a while it is tried again."""
    persistence = FakePersistence()
    summaries, turn = keeper(persistence, summariser), await begun()
    for _ in range(3):
        await reply_to(summaries, turn)
    failures = [entry for entry in logs if entry["event"] == "summary_failed"]
    assert len(failures) == len(summariser.asked) == 1
    assert "sk-secret" not in str(logs)
    assert persistence.written == []
    await reply_to(summaries)
    assert len(summariser.asked) == 2
    await asyncio.sleep(summary_module.COOLDOWN_SECONDS)
    await reply_to(summaries, turn)
    assert len(summariser.asked) == 3


async def test_a_summariser_that_hangs_is_stopped(logs: list[structlog.typing.EventDict]) -> None:
    """Its time is limited, and the rest is as with any failure."""
    persistence, summariser = FakePersistence(), ScriptedSummariser(hold=True)
    await reply_to(keeper(persistence, summariser, engine_timeout=0.05))
    assert [entry["error"] for entry in logs if entry["event"] == "summary_failed"] == [
        "TimeoutError"
    ]
    assert persistence.written == []


async def test_text_that_postgres_cannot_hold_is_escaped_and_a_long_one_cut() -> None:
    """Both are flagged, and an ordinary one is neither."""
    stored = []
    for text in ("a\x00b", "漢" * 10_000, "Fine."):
        persistence = FakePersistence()
        await reply_to(keeper(persistence, ScriptedSummariser(text)))
        stored.append(persistence.written[0])
    escaped, cut, plain = stored
    assert escaped["content"] == "a\\u0000b"
    assert escaped["metadata"]["escaped"] is True
    assert estimate_tokens(cut["content"]) <= 50
    assert cut["metadata"]["truncated"] is True
    assert plain["content"] == "Fine."
    assert plain["metadata"].keys() == {"engine", "timestamp"}


async def test_a_summary_that_comes_while_a_turn_runs_is_stored_after_its_reply() -> None:
    """Without asking for it again, although not much has come since."""
    persistence, summariser = FakePersistence(outcome="busy"), ScriptedSummariser()
    summaries, turn = keeper(persistence, summariser), await begun()
    await reply_to(summaries, turn)
    persistence.outcome = "written"
    await reply_to(summaries, await begun(0, turn.conversation))
    assert len(summariser.asked) == len(persistence.written) == 1


async def test_a_store_that_is_away_costs_nothing(logs: list[structlog.typing.EventDict]) -> None:
    """It is logged, and that is all."""
    await reply_to(keeper(FakePersistence(is_away=True), ScriptedSummariser()))
    assert [entry["error"] for entry in logs] == ["StoreUnavailableError"]


async def test_a_conversation_is_summarised_by_one_at_a_time() -> None:
    """A reply that comes meanwhile starts nothing, and so does one too many elsewhere."""
    summariser = ScriptedSummariser(hold=True)
    summaries, turn = keeper(FakePersistence(), summariser), await begun()
    for _ in range(3):
        summaries.after_reply(turn, "Reply.")
    for _ in range(10):
        summaries.after_reply(await begun(), "Reply.")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(summariser.asked) == summary_module.MAX_AT_ONCE
    summariser.release.set()
    await summaries.drain(10)


async def test_a_process_that_ends_drops_what_takes_too_long() -> None:
    """Nothing is written half, and nothing is waited for beyond the time given."""
    persistence, summariser = FakePersistence(), ScriptedSummariser(hold=True)
    summaries = keeper(persistence, summariser)
    summaries.after_reply(await begun(), "Reply.")
    await summariser.started.wait()
    await summaries.drain(0)
    summariser.release.set()
    await asyncio.sleep(0)
    assert persistence.written == []
