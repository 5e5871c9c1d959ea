"""What a long conversation costs at the start of a turn: python -m bench.context [--messages 5000].

The history that begin_turn reads in SQL, of a long conversation under several budgets, against that
of one with 20 messages. Both sides take turns in one run; the figures are medians.
"""

import argparse
import json
from typing import Any

import psycopg

from bench.turn import report, side_by_side
from local import database
from tests.support.postgres import running_server
from tests.support.sql_calls import Caller, make_account, make_long_conversation

BUDGETS = (1_000, 10_000, 100_000)
SHORT = 20


def main() -> None:
    """Measure on an empty server of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with running_server() as server:
        database.shape(server.url())
        database.migrate(server.url())
        with psycopg.connect(server.url(), autocommit=True) as db:
            owner = make_account(db)
            short = make_long_conversation(db, owner, messages=SHORT)
            long = make_long_conversation(db, owner, messages=options.messages)
            db.execute("vacuum analyze")
            for budget in BUDGETS:
                compare(Caller(db), long, short, budget=budget, rounds=options.rounds)


def compare(caller: Caller, long: str, short: str, *, budget: int, rounds: int) -> None:
    """Print what the long one's history costs under this budget."""

    def load(conversation: str) -> dict[str, Any]:
        return caller.call("load_history", conversation_id=conversation, history_tokens=budget)

    size = len(json.dumps(load(long)["history"])) // 1024
    times = side_by_side(lambda: load(long), lambda: load(short), rounds)
    report(f"{budget} tokens, {size} KiB", f"{SHORT} messages", *times)


if __name__ == "__main__":
    main()
