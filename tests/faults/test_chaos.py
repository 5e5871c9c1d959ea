"""Many users do anything while every part is killed at random; SQL of its own judges the rest.

CHAOS_OPERATIONS says how many operations: `CHAOS_OPERATIONS=6000` takes about three minutes.
The processes take both roads to the store, each one of them, or that of FAULT_ROADS.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from local.postgres import kill_part
from local.stack import Stack
from tests.faults.test_kill_loop import broken_invariants, running_turns, sweep
from tests.support.chaos_user import ChaosUser
from tests.support.chat_model import BROKEN
from tests.support.invariants import counts_of, found_broken
from tests.support.kill_run import QUICK
from tests.support.process import FunctionsProcess, functions_process
from tests.support.roads import fault_road
from tests.support.stack import free_ports
from tests.support.users import make_user

OPERATIONS = int(os.environ.get("CHAOS_OPERATIONS", "300"))
SEED = int(os.environ.get("CHAOS_SEED", "20261127"))
USERS = 30
PROCESSES = 2
EVERY = max(60, OPERATIONS // 40)  # operations from one kill to the next
TIMEOUT = 15

# What must hold for each user, written without a look at the doctor's own checks.
JUDGE = BROKEN | {
    "a row is without its conversation": """
        select id from messages as m where user_id = %s and not exists
            (select from conversations as c where c.id = m.conversation_id)
        union all
        select id from turns as t where not exists
            (select from conversations as c where c.id = t.conversation_id)
    """,
    "a turn runs without a worker, or has left a draft": """
        select id from turns where user_id = %s and (status = 'running' or draft <> '')
    """,
}


@dataclass
class Chaos:
    """The stack, the processes of the bundle, and what was killed."""

    stack: Stack
    folder: Path
    rng: random.Random
    ports: list[int] = field(default_factory=lambda: free_ports(PROCESSES))
    killed: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    due: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    _lives: dict[int, AsyncExitStack] = field(default_factory=dict)
    _servers: dict[int, FunctionsProcess] = field(default_factory=dict)

    async def start(self, port: int) -> None:
        """Start a process of the bundle."""
        folder = self.folder / f"{port}-{self.killed['functions']}"
        folder.mkdir()
        self._lives[port] = AsyncExitStack()
        settings = {"PORT": str(port), **QUICK, **fault_road(self.ports.index(port), self.stack)}
        starting = functions_process(self.stack, folder, **settings)
        self._servers[port] = await self._lives[port].enter_async_context(starting)

    async def stop(self) -> None:
        """Stop them in an orderly way."""
        for life in self._lives.values():
            await life.aclose()

    async def kill_functions(self) -> None:
        """Kill one of the processes, and start it again."""
        self.killed["functions"] += 1
        port = self.rng.choice(self.ports)
        self._servers[port].process.kill()
        await self._servers[port].process.wait()
        await self._lives[port].aclose()
        await self.start(port)

    async def kill_part_of_the_stack(self) -> None:
        """Kill Postgres, the gateway with the Data API, or Realtime; the stack heals itself."""
        part = self.rng.choice([self.stack.db, self.stack.gateway, self.stack.realtime])
        self.killed[part.name] += 1
        await asyncio.to_thread(kill_part, part)
        await asyncio.to_thread(self.stack.up)

    async def kill_at_random(self) -> None:
        """Kill something each time that so many more operations are done."""
        ways: list[Callable[[], Awaitable[None]]]
        ways = [self.kill_functions, self.kill_part_of_the_stack]
        for _ in range(1, OPERATIONS // EVERY):
            await ways[await self.due.get() % len(ways)]()

    def count(self) -> None:
        """Count an operation; after each so many something is killed."""
        self.operations += 1
        if self.operations % EVERY == 0:
            self.due.put_nowait(self.operations // EVERY)


@asynccontextmanager
async def users_of(chaos: Chaos) -> AsyncIterator[list[ChaosUser]]:
    """Sign users up, each with a client for each door."""
    settings = chaos.stack.settings
    async with AsyncExitStack() as clients:

        async def open_client(url: str, **headers: str) -> httpx.AsyncClient:
            client = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT)
            return await clients.enter_async_context(client)

        users = []
        for _ in range(USERS):
            made = await make_user(chaos.stack)
            await made.functions.aclose()
            bearer = f"Bearer {made.token}"
            doors = [
                await open_client(f"http://127.0.0.1:{port}/functions/v1", authorization=bearer)
                for port in chaos.ports
            ]
            rest = await open_client(
                f"{settings.url}/rest/v1",
                authorization=bearer,
                apikey=settings.keys.publishable,
                prefer="return=representation",
            )
            rng = random.Random(chaos.rng.random())  # noqa: S311 - repeatable, not secret
            users.append(ChaosUser(made.id, made.token, doors, rest, rng))
        for user in users:
            user.strangers = [other for other in users if other is not user]
        yield users


@pytest.mark.promise("durable", red="`synchronous_commit = off`; a reply without its fence")
@pytest.mark.timeout(600 + OPERATIONS)
async def test_thirty_users_lose_nothing_while_every_part_is_killed_at_random(
    broken_stack: Stack, tmp_path: Path
) -> None:
    """What each was acknowledged is there, what each deleted is nowhere; the doctor agrees."""
    started = time.monotonic()
    chaos = Chaos(broken_stack, tmp_path, random.Random(SEED))  # noqa: S311
    for port in chaos.ports:
        await chaos.start(port)
    async with users_of(chaos) as users:

        async def live(user: ChaosUser) -> None:
            while chaos.operations < OPERATIONS:
                await user.act()
                chaos.count()

        try:
            async with asyncio.TaskGroup() as tasks:
                for doing in (chaos.kill_at_random(), *map(live, users)):
                    tasks.create_task(doing)
            with psycopg.connect(broken_stack.settings.db_url, autocommit=True) as db:
                await settle(broken_stack, chaos.ports[0], db)
                found = judge(db, users)
                by_doctor = broken_invariants(db)
        finally:
            await chaos.stop()
    report(chaos, users, time.monotonic() - started)
    assert [violation for user in users for violation in user.violations] == []
    assert found == {}
    assert by_doctor == []
    assert sum(chaos.killed.values()) >= OPERATIONS // EVERY - 1


async def settle(stack: Stack, port: int, db: psycopg.Connection) -> None:
    """Sweep until no turn is left that nobody works on."""
    async with asyncio.timeout(60):
        while running_turns(db):
            await sweep(stack, f"http://127.0.0.1:{port}")
            await asyncio.sleep(0.2)


def judge(db: psycopg.Connection, users: list[ChaosUser]) -> dict[str, int]:
    """Return what breaks a rule, by the rule."""
    found = {
        rule: sum(len(db.execute(query.encode(), (user.id,)).fetchall()) for user in users)
        for rule, query in JUDGE.items()
    }
    found["acknowledged, and not stored"] = sum(lost(db, user) for user in users)
    found["deleted, and still somewhere"] = sum(left(db, user) for user in users)
    return {rule: number for rule, number in found.items() if number}


def count(db: psycopg.Connection, query: str, *values: object) -> int:
    """Return the one number that a query answers."""
    row = db.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])


def lost(db: psycopg.Connection, user: ChaosUser) -> int:
    """Count the acknowledged messages of a user that are not stored as they were."""
    acknowledged = {m: c for rows in user.conversations.values() for m, c in rows.items()}
    query = "select id::text, content from messages where user_id = %s"
    stored: dict[str, str] = dict(db.execute(query, (user.id,)).fetchall())
    return sum(stored.get(message) != content for message, content in acknowledged.items())


def left(db: psycopg.Connection, user: ChaosUser) -> int:
    """Count the rows in which a deleted conversation, or a word of it, is still to be found."""
    ids = [*user.deleted]
    words = [word for held in user.deleted.values() for word in held]
    by_id = (
        "messages where conversation_id",
        "turns where conversation_id",
        "conversations where id",
    )
    rows = sum(count(db, f"select count(*) from {of} = any(%s::uuid[])", ids) for of in by_id)
    live = "select count(*) from realtime.messages where payload::text like any(%s)"
    return rows + count(db, live, [f"%{word}%" for word in words])


@pytest.mark.parametrize(
    "damage",
    [
        "delete from messages where role = 'assistant'",
        "update messages set seq = seq + 1 where seq = 2",
        "update conversations set last_seq = last_seq + 1",
        "update messages set created_at = created_at - interval '1 day' where seq = 2",
        "update turns set draft = 'left'",
    ],
)
async def test_negative_control_the_judge_and_the_doctor_see_damage(
    broken_stack: Stack, damage: str
) -> None:
    """Planted in one conversation, inside a transaction that is taken back."""
    user = await make_user(broken_stack)
    turn = (await user.send("Whole")).json()
    await user.functions.aclose()
    chat = ChaosUser(user.id, user.token, [], httpx.AsyncClient(), random.Random(0))  # noqa: S311
    rows = [turn["userMessage"], turn["message"]]
    chat.conversations = {turn["conversationId"]: {row["id"]: row["content"] for row in rows}}
    with psycopg.connect(broken_stack.settings.db_url) as db:
        before = judge(db, [chat]), counts_of(found_broken(db))
        db.execute("set local session_replication_role = replica")
        column = "id" if damage.startswith("update conversations") else "conversation_id"
        where = "and" if " where " in damage else "where"
        db.execute(f"{damage} {where} {column} = %s".encode(), (turn["conversationId"],))
        after = judge(db, [chat]), counts_of(found_broken(db))
        db.rollback()
    # By how much, since tests that broke this stack before may have left damage of the same kind.
    assert after[0] != before[0]
    assert after[1] != before[1]


def report(chaos: Chaos, users: list[ChaosUser], seconds: float) -> None:
    """Print what happened."""
    done = sum((user.done for user in users), Counter[str]())
    kept = sum(len(rows) for user in users for rows in user.conversations.values())
    print(  # noqa: T201 - for `pytest -s`
        f"\nchaos: {chaos.operations} operations of {USERS} users in {seconds:.0f} s,"
        f" kills {dict(chaos.killed)}, {dict(done)},"
        f" {kept} messages kept,"
        f" {sum(len(user.deleted) for user in users)} conversations deleted"
    )
