"""Two versions of the bundle side by side on one schema, as while a deployment is under way.

Until 1.0 nothing has been released, and both are today's; from then on `older` is the tree of the
release before (CONTRIBUTING.md, Versions).
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.process import begin_and_leave, functions_process
from tests.support.users import User


@pytest.fixture
def older() -> Path:
    """The tree of the older version."""
    return ROOT


@dataclass
class Bundles:
    """The two versions, each as a client of one user's."""

    old: httpx.AsyncClient
    new: httpx.AsyncClient


@asynccontextmanager
async def side_by_side(
    stack: Stack, older: Path, user: User, folder: Path
) -> AsyncIterator[Bundles]:
    """Serve the older version on a stack, whose own is the newer one."""
    async with (
        functions_process(stack, folder, PYTHONPATH=str(older)) as old,
        old.client(user.token) as client,
    ):
        yield Bundles(client, user.functions)


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stored rows that a turn led to."""
    return [answer["userMessage"], answer["message"]]


@pytest.mark.promise("two versions", red="another `request_hash`")
async def test_both_versions_share_conversations_and_keys(
    stack: Stack, older: Path, user: User, tmp_path: Path
) -> None:
    """A conversation goes back and forth, whole in both; a retry at the other one is a replay."""
    async with side_by_side(stack, older, user, tmp_path) as bundles:
        said: list[dict[str, Any]] = []
        place: dict[str, str] = {}
        for mine, other in [(bundles.old, bundles.new), (bundles.new, bundles.old)] * 2:
            key = {"idempotency-key": uuid.uuid4().hex}
            body = {"request": f"Turn {len(said)}", "metadata": {"n": len(said)}, **place}
            sent = (await mine.post("/mega-mind", json=body, headers=key)).json()
            retried = (await other.post("/mega-mind", json=body, headers=key)).json()
            assert (sent["replayed"], retried["replayed"]) == (False, True)
            assert rows(sent) == rows(retried)
            place = {"conversationId": sent["conversationId"]}
            said += rows(sent)
        for bundle in (bundles.old, bundles.new):
            loaded = (await bundle.get("/load-conversation", params=place)).json()
            assert loaded["messages"] == said
            assert [m["seq"] for m in loaded["messages"]] == list(range(1, 9))


async def test_a_turn_of_a_killed_old_process_is_taken_over_by_the_new_one(
    stack: Stack, older: Path, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """As in a deployment that kills what is slow to end: the turn is settled, the next one runs."""
    slow = {"OFFLINE_DELAY": "0.2", "HEARTBEAT_SECONDS": "0.1"}
    async with functions_process(stack, tmp_path, PYTHONPATH=str(older), **slow) as process:
        turn_id = await begin_and_leave(process, user)
        process.process.kill()
        await process.process.wait()
    db.execute("update turns set lease_expires_at = clock_timestamp() where id = %s", (turn_id,))
    place = db.execute(
        "select conversation_id::text from turns where id = %s", (turn_id,)
    ).fetchone()
    assert place is not None
    answer = await user.send("And now?", conversationId=place[0])
    loaded = await user.load(place[0])
    assert answer.json()["success"] is True
    assert [m["role"] for m in loaded.json()["messages"]] == ["user", "assistant"] * 2
