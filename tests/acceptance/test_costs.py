"""What one user may cost: turns, tokens with their summaries, bytes over both doors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import psycopg
import pytest
from postgrest import APIError

from local.stack import Stack
from shared.ai import HistoryMessage
from shared.ai.protocol import SummaryText
from shared.ai.tokens import estimate_tokens
from tests.support.bundle import bundle, container_of, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.stack import running_stack
from tests.support.users import User, make_user

pytestmark = pytest.mark.promise("costs")

HISTORY_TOKENS = 100_000
BYTES_PER_DAY = 1_000_000


class CountingSummariser:
    """Counts its calls, and the tokens of what it is given and makes."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0
        self.tokens = 0

    async def summarise(
        self, messages: Sequence[HistoryMessage], *, previous: str | None, tokens: int
    ) -> SummaryText:
        """Write as much as it may."""
        self.calls += 1
        text = "Summed up. " * (tokens // 4)
        given = [previous or "", *(message.content for message in messages), text]
        self.tokens += sum(map(estimate_tokens, given))
        return SummaryText(text=text)


def tokens_of(db: psycopg.Connection, user: User) -> int:
    """Return what the user's turns took."""
    row = db.execute("select sum(tokens)::int from turns where user_id = %s", (user.id,)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.promise("costs", red="a summariser asked while there is more")
async def test_a_large_import_and_one_turn_cost_one_reply_and_one_summary(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """However much was imported: what one turn sends is the history's budget and half of it."""
    rows = [
        {"role": ("user", "assistant")[n % 2], "content": f"{n} " + "word " * 500}
        for n in range(2_600)
    ]
    file = json.dumps(rows)
    assert len(file) > 6_500_000
    engine, summariser = ScriptedEngine(), CountingSummariser()
    settings = settings_for(stack, turns_per_day=1, history_tokens=HISTORY_TOKENS)
    async with bundle(settings, token=user.token, engine=engine, summariser=summariser) as client:
        imported = await client.post(
            "/import-conversation", content=file, headers={"content-type": "application/json"}
        )
        (taken,) = imported.json()["taken"]
        asked = {"request": "Go on", "conversationId": taken["conversationId"]}
        assert (await client.post("/mega-mind", json=asked)).status_code == 200
        await container_of(client).summaries.drain(20)
        assert (await client.post("/mega-mind", json=asked)).status_code == 429
    given = sum(estimate_tokens(row.content) for row in engine.histories[0])
    assert (len(engine.requests), summariser.calls) == (1, 1)
    assert given <= HISTORY_TOKENS
    assert summariser.tokens <= HISTORY_TOKENS // 2 + 2 * settings.summary_tokens
    assert given + summariser.tokens <= tokens_of(db, user) <= 1.6 * HISTORY_TOKENS


async def test_tokens_are_limited_beside_turns(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The turn that goes over ends well; the next one, stored or not, waits for the day's end."""
    engine = ScriptedEngine("y" * 3_000)
    settings = settings_for(stack, tokens_per_day=1_500)
    async with bundle(settings, token=user.token, engine=engine) as client:
        unstored = {"request": "Hello", "persistMessages": False}
        answers = [await client.post("/mega-mind", json={"request": "Hello"})]
        answers += [await client.post("/mega-mind", json=unstored) for _ in range(2)]
        answers.append(await client.post("/mega-mind", json={"request": "Hello"}))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    for refused in answers[2:]:
        assert refused.json()["code"] == "too_many_tokens"
        assert 80_000 < int(refused.headers["Retry-After"]) <= 86_400
    assert len(engine.requests) == 2
    assert 1_000 <= tokens_of(db, user) <= 1_020


@pytest.fixture(scope="module")
def limited() -> Iterator[Stack]:
    """A stack whose bundle was started with a limit of bytes."""
    with running_stack(BYTES_PER_DAY=str(BYTES_PER_DAY)) as running:
        yield running


async def test_bytes_are_limited_over_both_doors(limited: Stack) -> None:
    """A message through one is a message less through the other; somebody else writes on."""
    user, other = await make_user(limited), await make_user(limited)
    client = await user.supabase()
    first = await user.send("x" * 900_000)
    assert first.status_code == 200
    large = "y" * 200_000
    message = {
        "conversation_id": first.json()["conversationId"], "user_id": user.id, "role": "user",
        "content": large,
    }  # fmt: skip
    for call in (
        client.table("messages").insert(message),
        client.table("conversations").insert({"user_id": user.id, "metadata": {"a": large}}),
    ):
        with pytest.raises(APIError) as over_data_api:
            await call.execute()
        assert "Too many bytes written this day." in str(over_data_api.value.message)
    refused: list[httpx.Response] = [
        await user.send(large),
        await user.functions.post("/conversations", json={"metadata": {"a": large}}),
        await user.functions.post(
            "/import-conversation", json=[{"role": "user", "content": large}]
        ),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_bytes")
        assert 1 <= int(answer.headers["Retry-After"]) <= 86_400
    message["content"] = "short"
    await client.table("messages").insert(message).execute()
    assert (await other.send(large)).status_code == 200
    with psycopg.connect(limited.settings.db_url) as db:
        parts = db.execute("select count(*) from private.import_parts").fetchone()
    assert parts == (0,)
    for one in (user, other):
        await one.functions.aclose()


async def test_a_file_that_is_too_large_for_the_day_leaves_nothing(limited: Stack) -> None:
    """Although its first parts were stored: nobody sees a conversation that isn't whole."""
    user = await make_user(limited)
    rows: list[dict[str, Any]] = [{"role": "user", "content": "z" * 400_000}] * 12
    answer = await user.functions.post("/import-conversation", json=rows)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_bytes")
    with psycopg.connect(limited.settings.db_url) as db:
        left = db.execute(
            "select (select count(*) from private.conversations where user_id = %(id)s),"
            " (select count(*) from public.conversations where user_id = %(id)s"
            " and deleting_since is null)",
            {"id": user.id},
        ).fetchone()
    assert left == (0, 0)
    await user.functions.aclose()
