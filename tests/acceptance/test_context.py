"""Context that fits: what the AI is given of a long conversation, and what everybody else sees."""

import asyncio
import os
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.ai.tokens import estimate_tokens
from tests.support.bundle import bundle, settings_for
from tests.support.engines import ScriptedEngine
from tests.support.sql_calls import make_long_conversation
from tests.support.users import User

MESSAGES = int(os.environ.get("CONTEXT_MESSAGES", "5000"))
BUDGET = 6_000


async def ask(
    client: httpx.AsyncClient, conversation: str, request: str = "And now?", **body: Any
) -> dict[str, Any]:
    """Send a request in a conversation; return the answer, which must be a good one."""
    answer = await client.post(
        "/mega-mind", json={"request": request, "conversationId": conversation, **body}
    )
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    assert response["success"] is True
    return response


def stored(db: psycopg.Connection, conversation: str) -> list[tuple[int, str, str, bool]]:
    """Return every message's place, role, text and whether it is a summary."""
    return db.execute(
        "select seq, role, content, is_summary from messages where conversation_id = %s"
        " order by seq",
        (conversation,),
    ).fetchall()


async def loaded(user: User, conversation: str) -> list[tuple[int, str, str, bool]]:
    """Return the same as load-conversation shows it, page after page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = await user.load(conversation, limit=200, after=rows[-1]["seq"] if rows else 0)
        assert page.status_code == 200, page.text
        rows += page.json()["messages"]
        if not page.json()["page"]["hasNewer"]:
            return [(m["seq"], m["role"], m["content"], m["is_summary"]) for m in rows]


async def until_summarised(db: psycopg.Connection, conversation: str) -> None:
    """Wait for a summary, which is made after the answer."""
    query = "select from summaries where conversation_id = %s"
    async with asyncio.timeout(60):
        while db.execute(query, (conversation,)).fetchone() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.promise("context")
async def test_a_long_conversation_stays_inside_the_budget_and_loads_whole(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Five thousand messages: first the newest that fit, then a summary and everything since."""
    conversation = make_long_conversation(db, user.id, messages=MESSAGES)
    before = stored(db, conversation)
    engine = ScriptedEngine()
    settings = settings_for(
        stack, history_tokens=BUDGET, summary_tokens=500, store_timeout=60, lease_seconds=130
    )
    contexts = []
    async with bundle(settings, token=user.token, engine=engine) as client:
        for _ in range(2):
            contexts.append((await ask(client, conversation))["message"]["metadata"]["context"])
            await until_summarised(db, conversation)  # by the offline rules, as by default
    first, second = contexts
    for context, history in zip(contexts, engine.histories, strict=True):
        assert context["tokens"] == sum(estimate_tokens(row.content) for row in history)
        assert sum(estimate_tokens(row.content) for row in history if not row.is_note) <= BUDGET
    assert (first["summaryOf"], first["fromSeq"]) == (None, MESSAGES - first["messages"] + 1)
    assert first["omitted"] == MESSAGES - first["messages"] > 0
    assert engine.histories[0][0].is_note
    assert f"{first['omitted']} older messages" in engine.histories[0][0].content

    summary = engine.histories[1][0]
    assert summary.is_summary
    assert "Message 1." in summary.content
    assert (second["omitted"], second["shortened"]) == (0, 0)
    assert second["summaryOf"] == {"fromSeq": 1, "toSeq": second["fromSeq"] - 1}
    assert [row.seq for row in engine.histories[1][1:]] == [*range(second["fromSeq"], MESSAGES + 3)]
    assert stored(db, conversation)[:MESSAGES] == before
    assert await loaded(user, conversation) == stored(db, conversation)
    assert [role for _, role, _, _ in stored(db, conversation)[MESSAGES:]] == [
        "user", "assistant", "system", "user", "assistant",
    ]  # fmt: skip
