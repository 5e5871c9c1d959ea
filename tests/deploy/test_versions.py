"""Two versions at once: the previous release's bundle on today's schema, beside today's bundle.

The schema goes first, then the bundle, so this is what runs in between. The release is the commit
that previous_release.txt names; `git archive` brings it, and where the history isn't there (a
shallow clone, a source archive), the tests are skipped and say so. The new bundle on the older
schema is not promised.

PREVIOUS_ACCEPTANCE=1 runs that release's own acceptance tests on today's schema as well: minutes.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
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
from tests.deploy.test_image import begin_and_leave
from tests.support.process import functions_process
from tests.support.users import User

RELEASE = (ROOT / "tests" / "deploy" / "previous_release.txt").read_text().strip()
MIGRATIONS = "supabase/migrations"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the previous release."""
    command = ["git", "archive", RELEASE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history has no {RELEASE[:12]} here: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass
class Bundles:
    """The two versions, each as a client of one user's."""

    old: httpx.AsyncClient
    new: httpx.AsyncClient


@asynccontextmanager
async def side_by_side(
    stack: Stack, previous: Path, user: User, folder: Path
) -> AsyncIterator[Bundles]:
    """Serve both versions on one stack, each from its own tree."""
    (folder / "old").mkdir()
    async with (
        functions_process(stack, folder / "old", PYTHONPATH=str(previous)) as old,
        functions_process(stack, folder) as new,
        old.client(user.token) as old_client,
        new.client(user.token) as new_client,
    ):
        yield Bundles(old_client, new_client)


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stored rows that a turn led to."""
    return [answer["userMessage"], answer["message"]]


def test_migrations_are_only_ever_added(previous: Path) -> None:
    """Each one of the previous release is here, byte for byte."""
    for old in (previous / MIGRATIONS).glob("*.sql"):
        assert (ROOT / MIGRATIONS / old.name).read_bytes() == old.read_bytes(), old.name


async def test_both_versions_share_conversations_and_keys(
    stack: Stack, previous: Path, user: User, tmp_path: Path
) -> None:
    """A conversation goes back and forth, whole in both; a retry at the other one is a replay."""
    async with side_by_side(stack, previous, user, tmp_path) as bundles:
        said: list[dict[str, Any]] = []
        place: dict[str, str] = {}
        pairs = [(bundles.old, bundles.new), (bundles.new, bundles.old)] * 2
        for mine, other in pairs:
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


async def test_the_previous_bundle_does_all_that_it_did(
    stack: Stack, previous: Path, user: User, tmp_path: Path
) -> None:
    """Create, list, rename, archive, stream, load, delete, on today's schema."""
    async with (
        functions_process(stack, tmp_path, PYTHONPATH=str(previous)) as process,
        process.client(user.token) as old,
    ):
        made = (await old.post("/conversations", json={"title": "One"})).json()["conversation"]
        address = f"/conversations/{made['id']}"
        body = {"request": "Hello", "conversationId": made["id"]}
        events = {"accept": "text/event-stream"}
        streamed = await old.post("/mega-mind", json=body, headers=events)
        renamed = await old.patch(address, json={"title": "Two", "archived": True})
        listed = (await old.get("/conversations", params={"archived": True})).json()
        alive = await old.get("/health", params={"deep": 1})
        gone = await old.delete(address)
    assert [line for line in streamed.text.splitlines() if line.startswith("event:")][-1] == (
        "event: done"
    )
    assert renamed.json()["conversation"]["title"] == "Two"
    assert [row["id"] for row in listed["conversations"]] == [made["id"]]
    assert (alive.status_code, gone.status_code) == (200, 200)


async def test_a_turn_of_a_killed_old_process_is_taken_over_by_the_new_one(
    stack: Stack, previous: Path, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """As in a deployment that kills what is slow to end: the turn is settled, the next one runs."""
    slow = {"OFFLINE_DELAY": "0.2", "HEARTBEAT_SECONDS": "0.1", "STORE_TIMEOUT": "2"}
    (tmp_path / "old").mkdir()
    async with functions_process(
        stack, tmp_path / "old", PYTHONPATH=str(previous), **slow
    ) as process:
        turn_id = await begin_and_leave(process, user)
        process.process.kill()
        await process.process.wait()
    db.execute("update turns set lease_expires_at = clock_timestamp() where id = %s", (turn_id,))
    place = db.execute(
        "select conversation_id::text from turns where id = %s", (turn_id,)
    ).fetchone()
    assert place is not None
    async with functions_process(stack, tmp_path) as process, process.client(user.token) as new:
        body = {"request": "And now?", "conversationId": place[0]}
        answer = await new.post("/mega-mind", json=body)
        loaded = await new.get("/load-conversation", params={"conversationId": place[0]})
    assert answer.json()["success"] is True
    assert [m["role"] for m in loaded.json()["messages"]] == ["user", "assistant"] * 2


@pytest.mark.skipif(
    "PREVIOUS_ACCEPTANCE" not in os.environ, reason="PREVIOUS_ACCEPTANCE is not set"
)
@pytest.mark.timeout(1800)
def test_the_previous_release_passes_its_own_acceptance_tests(previous: Path) -> None:
    """With today's migrations in the place of its own."""
    shutil.copytree(ROOT / MIGRATIONS, previous / MIGRATIONS, dirs_exist_ok=True)
    tests = ("test_persistence.py", "test_idempotency.py", "test_streaming.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"tests/acceptance/{name}" for name in tests)],
        cwd=previous, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(previous)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
