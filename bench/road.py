"""A turn by each road to the store, against the floor: python -m bench.road [--rounds 300].

The bundle's Python over the store: begin_turn, the context that an AI would be given and
complete_turn, with a history of fifty messages and with one that fills the default budget, in a
process that has it and in one that has not. Over HTTP, with an instant engine: a turn, and opening
a conversation.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import httpx
import psycopg

from bench.database import DEFAULT_HISTORY, HISTORY_OF_50, PAGE, TEXT, Floor, conversation_of
from bench.frame import Report, Work, in_milliseconds, rounds_of, side_by_side
from bench.stack import HttpUser, further_process, instant_stack
from local.stack import Stack
from shared.persistence import Persistence
from shared.turns.context import given_context
from shared.turns.histories import Histories
from tests.support.roads import store_by

LONG, LONG_TEXT = 2_000, 6  # messages of six times the usual text: 580 of them fill the budget
ROADS = {"direct": "Postgres itself", "data_api": "the Data API"}


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    rounds, report = rounds_of(__doc__, 300), Report("road")
    with instant_stack() as stack, psycopg.connect(stack.settings.db_url, autocommit=True) as db:
        user, floor = HttpUser(stack), Floor(db)
        for road in ROADS:
            over_the_store(stack, db, user, floor, road, rounds, report)
            over_http(stack, db, user, floor, road, rounds, report)
    report.keep()


def over_the_store(
    stack: Stack,
    db: psycopg.Connection,
    user: HttpUser,
    floor: Floor,
    road: str,
    rounds: int,
    report: Report,
) -> None:
    """Time what the turns' worker asks of the store."""
    with asyncio.Runner() as runner:
        life = AsyncExitStack()
        store = runner.run(life.enter_async_context(store_by(road, stack)))
        sides: dict[str, Work] = {"floor: two inserts, a select of 50": floor.turn}
        for is_warm in (True, False):
            for size, tokens in ((1_000, HISTORY_OF_50), (LONG, DEFAULT_HISTORY)):
                chat = conversation_of(db, user.id, size)
                if size == LONG:
                    lengthen(db, chat)
                turn = partial(
                    take_turn, store, user.id, chat, tokens, Histories(), is_warm=is_warm
                )
                kind = "that is known" if is_warm else "that is sent"
                sides[f"history of {tokens:,} tokens {kind}"] = partial(run, runner, turn)
        db.execute("vacuum analyze")
        figures = in_milliseconds(side_by_side(sides, rounds))
        report.add(f"a turn over the store, {ROADS[road]}", figures)
        runner.run(life.aclose())


def run(runner: asyncio.Runner, turn: "partial[Coroutine[None, None, None]]") -> None:
    """Run a coroutine, with no more around it than it takes."""
    runner.get_loop().run_until_complete(turn())


def lengthen(db: psycopg.Connection, chat: str) -> None:
    """Give a conversation longer messages."""
    db.execute("set session_replication_role = replica")
    db.execute(
        "update messages set content = repeat(content, %s) where conversation_id = %s",
        (LONG_TEXT, chat),
    )
    db.execute("reset session_replication_role")


async def take_turn(
    store: Persistence,
    user_id: str,
    chat: str,
    tokens: int,
    histories: Histories,
    *,
    is_warm: bool,
) -> None:
    """Take a turn without an AI."""
    user, conversation = uuid.UUID(user_id), uuid.UUID(chat)
    known = histories.known(user, conversation) if is_warm else None
    begun = await store.begin_turn(
        user_id=user, idempotency_key=uuid.uuid4().hex, request_hash="hash", request=TEXT,
        message_id=uuid.uuid4(), conversation_id=conversation, project_id=None, metadata={},
        lease_seconds=60, history_tokens=tokens, known_from=known.first if known else None,
        known_id=known.newest_id if known else None,
    )  # fmt: skip
    whole = histories.completed(begun, known)
    given_context(whole.history, whole.context)
    await store.complete_turn(
        user_id=user, turn_id=begun.turn.id, attempt=1, message_id=uuid.uuid4(),
        status="completed", content=TEXT, generated_code=None, metadata={"success": True},
        error=None, tokens=1,
    )  # fmt: skip


def over_http(
    stack: Stack,
    db: psycopg.Connection,
    user: HttpUser,
    floor: Floor,
    road: str,
    rounds: int,
    report: Report,
) -> None:
    """Time what a client of the functions asks, without a gateway in front."""
    url = stack.settings.direct_url if road == "direct" else "off"
    with ExitStack() as life:
        address = life.enter_context(further_process(stack, SUPABASE_DB_URL=url))
        client = life.enter_context(
            httpx.Client(base_url=address, headers=user.headers, timeout=120)
        )
        chats = {name: conversation_of(db, user.id, 1_000) for name in ("turn", "page")}
        db.execute("vacuum analyze")

        def turn() -> None:
            body = {"request": TEXT, "conversationId": chats["turn"]}
            client.post("/mega-mind", json=body).raise_for_status()

        def page() -> None:
            query = {"conversationId": chats["page"], "limit": str(PAGE)}
            client.get("/load-conversation", params=query).raise_for_status()

        sides: dict[str, Work] = {
            "floor: two inserts, a select of 50": floor.turn,
            "turn over HTTP, 1000 messages": turn,
            "opening the newest 50": page,
        }
        report.add(f"over HTTP, {ROADS[road]}", in_milliseconds(side_by_side(sides, rounds)))


if __name__ == "__main__":
    main()
