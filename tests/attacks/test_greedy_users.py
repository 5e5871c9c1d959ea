"""One user, or a few strangers, take what they can: another user hardly notices.

Attacker and victim are there at once. The attacker is a process of its own; what it is answered,
and the victim's figures alone and beside it, are printed: `pytest -s`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from local.stack import Stack
from tests.support.greedy import Ask, Greed, greedy
from tests.support.process import FunctionsProcess, begin_and_leave, functions_process
from tests.support.provider_files import zipped
from tests.support.users import User
from tests.support.victim import Figures, Victim, slowest_was_noticed, what_was_noticed

TRIES = 3
ROUNDS_ALONE = 8
ROUNDS_BESIDE = 10
MOST_BYTES = 300_000_000
MIB = 1024 * 1024
EVENTS = {"accept": "text/event-stream"}

# What a conversation of the attacker's holds: many messages that a search finds.
FILLED = """
with chat as (
    insert into conversations (user_id, title) values (%(user)s, 'Full') returning id
)
insert into messages (conversation_id, user_id, role, content)
select chat.id, %(user)s, 'user', repeat('many words of every kind ', 40) || n
from chat, generate_series(1, %(count)s) as n
returning conversation_id::text
"""


class Scene:
    """An attacker and a victim on one process."""

    def __init__(self, server: FunctionsProcess, attacker: User, victim: Victim) -> None:
        self.server = server
        self.attacker = attacker
        self.victim = victim

    async def attack(
        self,
        *asks: Ask,
        at_once: int,
        rounds: int = ROUNDS_BESIDE,
        is_stranger: bool = False,
        counts_slowest: bool = False,
    ) -> tuple[Figures, Counter[str]]:
        """Attack, and return the victim's figures and what the attacker was answered.

        The victim must hardly notice. What else this machine has to do may be in its way: it gets
        another chance, or two.
        """
        token = {} if is_stranger else {"authorization": f"Bearer {self.attacker.token}"}
        greed = Greed(f"{self.server.url}/functions/v1", list(asks), at_once, token)
        noticed: list[list[str]] = []
        while len(noticed) < TRIES:
            alone = await self.victim.go_on(ROUNDS_ALONE)
            async with greedy(greed) as answered:
                beside = await self.victim.go_on(rounds)
            said = f"\n  alone: {alone}\n beside: {beside}\n greedy: {dict(answered)}"
            print(said)  # noqa: T201
            noticed.append(what_was_noticed(alone, beside))
            noticed[-1] += slowest_was_noticed(alone, beside) if counts_slowest else []
            if not noticed[-1]:
                return beside, answered
        raise AssertionError(noticed)


@asynccontextmanager
async def scene(
    stack: Stack, folder: Path, attacker: User, other: User, **settings: str
) -> AsyncIterator[Scene]:
    """Have both settle in on a process of their own."""
    async with AsyncExitStack() as on:
        server = await on.enter_async_context(functions_process(stack, folder, **settings))
        victim = Victim(server, other)
        on.push_async_callback(victim.aclose)
        await victim.settle_in()
        yield Scene(server, attacker, victim)


def filled_conversation(db: psycopg.Connection, user: User, count: int) -> str:
    """Store many messages of a user's, and return their conversation."""
    row = db.execute(FILLED.encode(), {"user": user.id, "count": count}).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.promise("shares", red="a share of the store's calls as large as all of them")
async def test_turns_that_wait_for_a_lock_of_ones_own(
    stack: Stack, tmp_path: Path, user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Sixty on a conversation that is locked, as by bulk inserts over the Data API."""
    chat = filled_conversation(db, user, 1)
    async with (
        scene(stack, tmp_path, user, other_user) as on,
        await psycopg.AsyncConnection.connect(stack.settings.db_url) as inserting,
    ):
        await inserting.execute("select 1 from conversations where id = %s for update", (chat,))
        ask = Ask("POST", "/mega-mind", {"request": "Hello", "conversationId": chat})
        _, answered = await on.attack(ask, at_once=60)
        await inserting.rollback()
    assert answered["200"] == 0


@pytest.mark.promise("shares", red="a share of the store's calls as large as all of them")
async def test_bulk_inserts_over_the_data_api(
    stack: Stack, tmp_path: Path, user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Hundreds of rows a call, and sixty turns that wait for the same conversation."""
    chat = filled_conversation(db, user, 1)
    row = json.dumps({"conversation_id": chat, "user_id": user.id, "role": "user", "content": "x"})
    insert = Ask(
        "POST",
        f"{user.environment['SUPABASE_URL']}/rest/v1/messages",
        before="[",
        piece=f"{row},",
        times=500,
        after=f"{row}]",
        headers={"apikey": user.environment["SUPABASE_PUBLISHABLE_KEY"]},
    )
    turn = Ask("POST", "/mega-mind", {"request": "Hello", "conversationId": chat})
    async with scene(stack, tmp_path, user, other_user) as on:
        _, answered = await on.attack(insert, *[turn] * 15, at_once=64, rounds=4 * ROUNDS_BESIDE)
    assert answered["201"] > 0


@pytest.mark.promise("shares", red="a share of turns as large as all of them")
@pytest.mark.parametrize("kind", ["unstored", "streams"])
async def test_runs_of_the_ai_that_take_long(
    stack: Stack, tmp_path: Path, user: User, other_user: User, kind: str
) -> None:
    """Hundreds at once: sixteen run, and the rest waits or is to come again."""
    ask = Ask("POST", "/mega-mind", {"request": "Hello", "persistMessages": False})
    if kind == "streams":
        ask = Ask("POST", "/mega-mind", {"request": "Hello"}, headers=EVENTS)
    async with scene(stack, tmp_path, user, other_user, OFFLINE_DELAY="0.02") as on:
        _, answered = await on.attack(ask, at_once=256)
    assert answered["200"] > 0
    assert answered["429"] > 0


@pytest.mark.promise("shares", red="shares of heavy reads and exports as large as all of them")
@pytest.mark.parametrize("kind", ["searches", "exports"])
async def test_what_reads_much(
    stack: Stack, tmp_path: Path, user: User, other_user: User, db: psycopg.Connection, kind: str
) -> None:
    """Eighty searches at once, or as many exports."""
    filled_conversation(db, user, 3_000)
    ask = {
        "searches": Ask("GET", "/search-messages?q=words%20kind%20-absent"),
        "exports": Ask("GET", "/export-account"),
    }[kind]
    async with scene(stack, tmp_path, user, other_user) as on:
        _, answered = await on.attack(ask, at_once=80)
    assert answered["429"] > 0


@pytest.mark.promise("shares", red="each follower reads the turn for itself")
async def test_followers_of_a_turn_with_a_large_request(
    stack: Stack, tmp_path: Path, user: User, other_user: User
) -> None:
    """Fifty, of one that runs in another process: it is read once for all."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    slow = {"OFFLINE_DELAY": "5", "DRAIN_SECONDS": "0.1"}
    async with (
        functions_process(stack, elsewhere, **slow) as running,
        scene(stack, tmp_path, user, other_user) as on,
    ):
        turn = await begin_and_leave(running, user, "x" * 1_900_000)
        ask = Ask("GET", f"/mega-mind?turnId={turn}")
        beside, _ = await on.attack(ask, at_once=50, counts_slowest=True)
    assert beside.most_bytes < MOST_BYTES


@pytest.mark.promise("shares", red="deep health is measured for each who asks")
async def test_strangers_who_ask_for_deep_health(
    stack: Stack, tmp_path: Path, user: User, other_user: User
) -> None:
    """Three hundred connections, without a token."""
    async with scene(stack, tmp_path, user, other_user) as on:
        ask = Ask("GET", "/health?deep=1")
        _, answered = await on.attack(ask, at_once=300, is_stranger=True)
    assert answered["200"] > 0


ENDPOINTS = (
    "mega-mind", "cancel-turn", "load-conversation", "conversations", "export-conversation",
    "export-account", "conversation-analytics", "erase-account", "search-messages",
)  # fmt: skip
BODIES = {
    "lists": ("", "[[],", ""),
    "objects": ("", '{"a":{},"b":', ""),
    "one object": ("{", '"k":0,', '"z":0}'),
    "strings": ("[", '"s",', '"s"]'),
    "a deep one": ("", "[", ""),
    "digits": ('{"request":', "1", "}"),
    "escapes": ('{"projectId":"x","request":"', "\\u0041", '"}'),
    "surrogates": ('{"projectId":"x","request":"', "\\ud83d\\ude00", '"}'),
    "spaces": ('{"projectId":"x","request":"', " ", '"}'),
    "words": ('{"projectId":"x","request":"', "word ", '"}'),
}


@pytest.mark.promise("hostile input", red="bodies parsed before their values are counted")
async def test_hostile_bodies(stack: Stack, tmp_path: Path, user: User, other_user: User) -> None:
    """Seven MiB of each kind, to every endpoint that reads a body, several at a time."""
    asks = [
        Ask(
            "POST", f"/{name}", before=before, piece=piece, times=7 * MIB // len(piece), after=after
        )
        for name in ENDPOINTS
        for before, piece, after in BODIES.values()
    ]
    async with scene(stack, tmp_path, user, other_user) as on:
        beside, answered = await on.attack(
            *asks, at_once=8, rounds=5 * ROUNDS_BESIDE, counts_slowest=True
        )
    assert answered["400"] > 0
    assert beside.most_bytes < MOST_BYTES


async def beside(
    on: Scene, *attacks: Callable[[], Awaitable[None]], counts_slowest: bool
) -> Figures:
    """Run these again and again beside the victim, who must hardly notice; return its figures."""
    noticed: list[list[str]] = []
    while len(noticed) < TRIES:
        alone = await on.victim.go_on(ROUNDS_ALONE)
        tasks = [asyncio.create_task(_again_and_again(attack)) for attack in attacks]
        during = await on.victim.go_on(ROUNDS_BESIDE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        print(f"\n  alone: {alone}\n beside: {during}")  # noqa: T201
        noticed.append(what_was_noticed(alone, during))
        noticed[-1] += slowest_was_noticed(alone, during) if counts_slowest else []
        if not noticed[-1]:
            return during
    raise AssertionError(noticed)


async def _again_and_again(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        await attack()


@pytest.mark.promise("hostile input")
async def test_files_that_inflate(
    stack: Stack, tmp_path: Path, user: User, other_user: User
) -> None:
    """Small zips of 64 MiB of lists and of objects, to be imported: each is a 400."""
    zips = [
        zipped(a___json=(piece * (64 * MIB // len(piece))).encode())
        for piece in ("[[],", '{"a":{},"b":')
    ]
    answered: Counter[int] = Counter()
    async with (
        scene(stack, tmp_path, user, other_user) as on,
        on.server.client(user.token) as client,
    ):

        async def send(content: bytes) -> None:
            headers = {"content-type": "application/zip"}
            answer = await client.post("/import-conversation", content=content, headers=headers)
            answered[answer.status_code] += 1

        attacks = [partial(send, content) for content in zips]
        during = await beside(on, *attacks, counts_slowest=True)
        assert answered.keys() <= {400, 429, 503}
        answered.clear()
        await send(zips[0])
    assert answered.keys() == {400}
    assert during.most_bytes < MOST_BYTES


@pytest.mark.promise("shares")
async def test_uploads_that_stop_on_the_way(
    stack: Stack, tmp_path: Path, user: User, other_user: User
) -> None:
    """Sixteen, each just before its end, and as many heads that are never whole."""
    body = b"x" * (63 * MIB)
    head = (
        "POST /import-conversation HTTP/1.1\r\nhost: here\r\ncontent-type: application/zip\r\n"
        f"authorization: Bearer {user.token}\r\ncontent-length: {64 * MIB}\r\n"
    )
    writers: list[asyncio.StreamWriter] = []

    async def stop(sent: bytes) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(on.server.url).port)
        writers.append(writer)
        writer.write(sent)
        with suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(60)

    async with scene(stack, tmp_path, user, other_user) as on:
        uploads = [partial(stop, f"{head}\r\n".encode() + body)] * 16
        heads = [partial(stop, head.encode())] * 16
        # The gigabyte is sent by this process, which the victim's client waits for as well.
        during = await beside(on, *uploads, *heads, counts_slowest=False)
        for writer in writers:
            writer.close()
    assert during.most_bytes < MOST_BYTES
