"""Two versions of the bundle and two of the schema, each with each, and the upgrade under way.

The previous release is the commit that previous_release.txt names; `git archive` brings it, and
where the history isn't there (a shallow clone, a source archive), the tests are skipped and say so.

PREVIOUS_ACCEPTANCE=1 also runs the acceptance tests of each release on the schema of the other:
minutes.
"""

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local import database
from local.settings import ROOT
from local.stack import Stack
from tests.deploy.test_image import begin_and_leave
from tests.support.process import functions_process
from tests.support.stack import running_stack
from tests.support.users import User, sign_up

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


@pytest.fixture(scope="module")
def previous_schema(previous: Path) -> Iterator[Stack]:
    """A stack whose schema is the previous release's; its functions are today's."""
    with running_stack(previous / MIGRATIONS) as running:
        yield running


@pytest.fixture(params=["stack", "previous_schema"], ids=["on today's", "on the previous"])
def either_schema(request: pytest.FixtureRequest) -> Stack:
    """A stack with today's schema, then one with the previous release's."""
    stack: Stack = request.getfixturevalue(request.param)
    return stack


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
    either_schema: Stack, previous: Path, tmp_path: Path
) -> None:
    """A conversation goes back and forth, whole in both; a retry at the other one is a replay."""
    user = await sign_up(either_schema)
    async with side_by_side(either_schema, previous, user, tmp_path) as bundles:
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


async def test_the_new_bundle_does_on_the_previous_schema_all_that_its_bundle_did(
    previous_schema: Stack,
) -> None:
    """Send, stream, replay, list by pages, rename, archive, cancel, read unstored, delete."""
    user = await sign_up(previous_schema)
    new = user.functions
    key = uuid.uuid4().hex
    sent = (await user.send("One", key=key)).json()
    place = {"conversationId": sent["conversationId"]}
    replayed = (await user.send("One", key=key)).json()
    events = {"accept": "text/event-stream"}
    streamed = await new.post("/mega-mind", json={"request": "Two", **place}, headers=events)
    unstored = await user.send("Three", persistMessages=False, **place)
    others = [(await user.send(f"Other {n}")).json()["conversationId"] for n in range(4)]
    pages = await list_by_pages(new, limit=2)
    address = f"/conversations/{place['conversationId']}"
    renamed = await new.patch(address, json={"title": "New", "archived": True})
    loaded = (await user.load(conversation_id=place["conversationId"])).json()
    cancelled = await new.post("/cancel-turn", json={"turnId": sent["turnId"]})
    gone = await new.delete(address)
    assert (sent["replayed"], replayed["replayed"]) == (False, True)
    assert rows(sent) == rows(replayed)
    assert "event: done" in streamed.text
    assert unstored.json()["success"] is True
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [row for page in pages for row in page] == [*reversed(others), place["conversationId"]]
    assert renamed.json()["conversation"]["title"] == "New"
    assert [row["content"] for row in loaded["messages"]][::2] == ["One", "Two"]
    assert cancelled.json()["status"] == "completed"
    assert gone.status_code == 200


async def test_a_lost_turn_ends_on_the_previous_schema_too(
    previous_schema: Stack, tmp_path: Path
) -> None:
    """Its heartbeats write the draft; with the lease over, the next one to look settles it."""
    user = await sign_up(previous_schema)
    slow = {"OFFLINE_DELAY": "0.2", "HEARTBEAT_SECONDS": "0.1", "STORE_TIMEOUT": "2"}
    async with functions_process(previous_schema, tmp_path, **slow) as process:
        turn_id = await begin_and_leave(process, user)
        with psycopg.connect(previous_schema.settings.db_url, autocommit=True) as db:
            draft, chat = await a_draft_of(db, turn_id)
            running = (await user.load(chat)).json()["openTurn"]
            process.process.kill()
            await process.process.wait()
            db.execute(
                "update turns set lease_expires_at = clock_timestamp() where id = %s", (turn_id,)
            )
    settled = (await user.load(chat)).json()
    assert running["turnId"] == turn_id
    assert settled["openTurn"] is None
    assert settled["messages"][1]["content"].startswith(draft)
    assert settled["messages"][1]["metadata"]["error"]["type"] == "interrupted"


async def test_what_the_previous_schema_lacks_is_refused_in_plain_words(
    previous_schema: Stack,
) -> None:
    """503, with what is to be done; the rest of the bundle serves on."""
    user = await sign_up(previous_schema)
    chat = (await user.send("Keep this")).json()["conversationId"]
    range_of_a_day = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}
    lacking = [
        await user.functions.get("/search-messages", params={"q": "keep"}),
        await user.functions.get("/export-conversation", params={"conversationId": chat}),
        await user.functions.get("/conversation-analytics", params=range_of_a_day),
    ]
    loaded = await user.load(chat)
    for answer in lacking:
        assert (answer.status_code, answer.json()["code"]) == (503, "schema_behind")
        assert "migrations" in answer.json()["message"]
        assert answer.headers["retry-after"] == "30"
    assert [row["role"] for row in loaded.json()["messages"]] == ["user", "assistant"]


async def test_an_upgrade_of_the_schema_while_a_turn_runs(previous: Path, tmp_path: Path) -> None:
    """The turn that was begun before ends after; what came before is there, and can be found."""
    slow = {"OFFLINE_DELAY": "0.08", "HEARTBEAT_SECONDS": "0.1"}
    with running_stack(previous / MIGRATIONS) as stack:
        user = await sign_up(stack)
        async with (
            functions_process(stack, tmp_path, **slow) as process,
            process.client(user.token) as new,
        ):
            turn_id = await begin_and_leave(process, user)
            applied = database.migrate(stack.settings.db_url)
            stack.gateway.stop()  # as PostgREST does when told, it reads the new schema
            stack.up()
            watched = await new.get("/mega-mind", params={"turnId": turn_id})
            found = await new.get("/search-messages", params={"q": "go"})
            again = await new.post("/mega-mind", json={"request": "And on"})
    assert applied
    assert "event: done" in watched.text
    assert "Go" in {hit["snippet"]["text"] for hit in found.json()["hits"]}
    assert again.json()["success"] is True


async def list_by_pages(new: httpx.AsyncClient, *, limit: int) -> list[list[str]]:
    """Return the ids of a user's conversations, a list for each page."""
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = (await new.get("/conversations", params={"limit": limit, **cursor})).json()
        pages.append([row["id"] for row in answer["conversations"]])
        if answer["nextCursor"] is None:
            return pages
        cursor = {"cursor": answer["nextCursor"]}


async def a_draft_of(db: psycopg.Connection, turn_id: str) -> tuple[str, str]:
    """Wait until a heartbeat has written some of a turn's text; return it and the conversation."""
    async with asyncio.timeout(30):
        while True:
            row = db.execute(
                "select draft, conversation_id::text from turns where id = %s", (turn_id,)
            ).fetchone()
            assert row is not None
            if row[0]:
                return row[0], row[1]
            await asyncio.sleep(0.05)


ACCEPTANCE = tuple(
    f"tests/acceptance/test_{name}.py" for name in ("persistence", "idempotency", "streaming")
)
both_ways = pytest.mark.skipif(
    "PREVIOUS_ACCEPTANCE" not in os.environ, reason="PREVIOUS_ACCEPTANCE is not set"
)


@both_ways
@pytest.mark.timeout(1800)
def test_the_previous_release_passes_its_own_acceptance_tests(
    previous: Path, tmp_path: Path
) -> None:
    """With today's migrations in the place of its own."""
    folder = shutil.copytree(previous, tmp_path / "previous")
    shutil.copytree(ROOT / MIGRATIONS, folder / MIGRATIONS, dirs_exist_ok=True)
    run_acceptance(folder)


@both_ways
@pytest.mark.timeout(1800)
def test_todays_bundle_passes_them_on_the_previous_schema(previous: Path) -> None:
    """Today's tests, with the previous release's migrations in the place of today's."""
    run_acceptance(ROOT, STACK_MIGRATIONS=str(previous / MIGRATIONS))


def run_acceptance(folder: Path, **environment: str) -> None:
    """Run the acceptance tests of the release in this folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *ACCEPTANCE],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
