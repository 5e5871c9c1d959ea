"""Context that fits: what the AI is given of a long conversation, and what everybody else sees."""

import os
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from shared.ai.tokens import estimate_tokens
from tests.support.bundle import bundle, container_of, settings_for
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


@pytest.mark.promise("context")
async def test_a_long_conversation_stays_inside_the_budget_and_loads_whole(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Five thousand messages: first the newest that fit, with each reply more of a summary.

    In the end that and everything since.
    """
    conversation = make_long_conversation(db, user.id, messages=MESSAGES)
    before = stored(db, conversation)
    engine = ScriptedEngine()
    settings = settings_for(
        stack, history_tokens=BUDGET, summary_tokens=500, store_timeout=60, lease_seconds=130
    )
    contexts: list[dict[str, Any]] = []
    async with bundle(settings, token=user.token, engine=engine) as client:
        while not contexts or contexts[-1]["omitted"]:
            contexts.append((await ask(client, conversation))["message"]["metadata"]["context"])
            await container_of(client).summaries.drain(60)  # by the offline rules, as by default
            summarised = db.execute(
                "select count(*) from summaries where conversation_id = %s", (conversation,)
            ).fetchone()
            assert summarised == (len(contexts),)
    for context, history in zip(contexts, engine.histories, strict=True):
        assert context["tokens"] == sum(estimate_tokens(row.content) for row in history)
        assert sum(estimate_tokens(row.content) for row in history if not row.is_note) <= BUDGET
    first, last = contexts[0], contexts[-1]
    assert (first["summaryOf"], first["fromSeq"]) == (None, MESSAGES - first["messages"] + 1)
    assert first["omitted"] == MESSAGES - first["messages"] > 0
    assert engine.histories[0][0].is_note
    assert f"{first['omitted']} older messages" in engine.histories[0][0].content
    omitted = [context["omitted"] for context in contexts]
    assert omitted == sorted(omitted, reverse=True)
    assert len(contexts) <= 2 + sum(estimate_tokens(row[2]) for row in before) / (BUDGET / 2.2)

    summary, *since = engine.histories[-1]
    assert summary.is_summary
    assert "Message 1." in summary.content
    assert last["shortened"] == 0
    assert last["summaryOf"] == {"fromSeq": 1, "toSeq": last["fromSeq"] - 1}
    ours = {seq for seq, _, _, is_summary in stored(db, conversation) if is_summary}
    newest = max(row.seq for row in since)
    expected = [seq for seq in range(last["fromSeq"], newest + 1) if seq not in ours]
    assert [row.seq for row in since] == expected
    assert stored(db, conversation)[:MESSAGES] == before
    assert await loaded(user, conversation) == stored(db, conversation)
    roles = [role for _, role, _, _ in stored(db, conversation)[MESSAGES:]]
    assert roles[:5] == ["user", "assistant", "system", "user", "assistant"]
