"""A turn by each road to the store, against the floor: python -m bench.road [--rounds 300].

The bundle's Python over the store: begin_turn, the context that an AI would be given and
complete_turn, with a history of fifty messages and with one that fills the default budget, in a
process that has it and in one that has not. Over HTTP both roads are in `bench.turn`.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial

import psycopg

from bench.database import DEFAULT_HISTORY, HISTORY_OF_50, TEXT, Floor, conversation_of
from bench.frame import Report, Work, rounds_of
from bench.stack import HttpUser, instant_stack
from local.stack import Stack
from shared.persistence import Persistence
from shared.turns.context import given_context
from shared.turns.histories import Histories
from tests.support.roads import store_by

LONG, LONG_TEXT = 2_000, 6  # messages of six times the usual text: 580 of them fill the budget
ROADS = {"direct": "Postgres itself", "data_api": "the Data API"}


def main() -> None:
    """Start a stack of its own, measure, stop it."""
    with (
        Report("road", rounds_of(__doc__, 300)) as report,
        instant_stack() as stack,
        psycopg.connect(stack.settings.db_url, autocommit=True) as db,
    ):
        user, floor = HttpUser(stack), Floor(db)
        for road in ROADS:
            over_the_store(stack, db, user, floor, road, report)


def over_the_store(
    stack: Stack,
    db: psycopg.Connection,
    user: HttpUser,
    floor: Floor,
    road: str,
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
        report.time(f"a turn over the store, {ROADS[road]}", sides)
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


if __name__ == "__main__":
    main()
