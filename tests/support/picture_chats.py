"""What the README's pictures show: a month of somebody's conversations, the same each time."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from local.stack import Stack
from tests.support.chats import Said, write_chat
from tests.support.users import User

ENGINE = {"engine": "openai:gpt-5", "success": True}
ASKED = "The list of orders takes four seconds for our largest customer. What can I do?"
FIRST = (
    "Add an index on `customer_id`, and the list will be read without the other customers' rows."
)
PLAN = """Limit  (actual time=4127.3..4127.3 rows=50)
  ->  Sort  (actual time=4127.2..4127.3 rows=50)
        ->  Seq Scan on orders  (actual time=0.1..3904.6 rows=61382)
              Rows Removed by Filter: 4938618"""
ANSWER = """The plan reads **all five million orders** and sorts what is left. One index gives the \
newest fifty of a customer at once, in their order:

```sql path=migrations/0042_orders_by_customer.sql
create index concurrently orders_customer_id_created_at
    on orders (customer_id, created_at desc);
```

| | rows read | time |
|---|---|---|
| before | 5,000,000 | 4,127 ms |
| with the index | 50 | 0.4 ms |

It is built while others write, so it can go out by day."""
PARTS = [
    {
        "type": "tool-explain_query",
        "toolCallId": "call_1",
        "state": "output-available",
        "input": {"sql": "select * from orders where customer_id = 17 order by created_at"},
        "output": PLAN,
    },
    {"type": "text", "text": ANSWER},
]
OTHERS = {
    "Why the login test fails on CI": (
        "The login test fails on CI only, every third run. Where do I look first?",
        "At what it waits for: an index page that loads its session late passes here and fails "
        "there. Wait for the name in the header, not for the page.",
    ),
    "Release notes for 2.4": (
        "Write release notes from these commits, for people who run it",
        "2.4 keeps what you export: the index of attachments is part of each archive.",
    ),
    "A parser for ISO 8601 dates": (
        "Write a parser for ISO 8601 dates, durations included",
        "Durations are the part that surprises: `P1M` is a month, `PT1M` a minute.",
    ),
    "Index for the search page": (
        "Which index does a search over titles and bodies need?",
        "A GIN index over both, with weights, so that a title counts for more than a body.",
    ),
    "Upgrade plan for Postgres 17": (
        "Plan an upgrade from Postgres 15 to 17 with little downtime",
        "Logical replication into a second cluster, then a switch of a few seconds.",
    ),
    "A form with validation": (
        "A React form for an address, with validation as one types",
        "Let the browser say what is missing; say yourself only what it can't know.",
    ),
    "Rate limits for the public API": (
        "How do other APIs answer when a limit is met?",
        "With 429 and `Retry-After`, and a header that says what is left.",
    ),
    "Invoices in two time zones": (
        "Invoices of the 31st land in the next month. Why?",
        "They are grouped by UTC. Group by the customer's zone, and keep the instant beside it.",
    ),
}
INTENTS = ["fix_bug", "explain", "create_function", "review", "plan", "write_tests"]
STATUSES = ["completed"] * 46 + ["failed", "failed", "cancelled", "interrupted"]
DAYS = 30


def write_chats(stack: Stack, user: User) -> str:
    """Store it all; return the conversation that is shown."""
    for title, (asked, reply) in reversed(OTHERS.items()):
        write_chat(
            stack, user, [Said("user", asked), Said("assistant", reply, ENGINE)], title=title
        )
    first = [Said("user", ASKED), Said("assistant", FIRST, ENGINE)]
    chat = write_chat(stack, user, first, title="The list of orders is slow")
    archive = write_chat(stack, user, [], title="Last month", archived=True)
    with psycopg.connect(stack.settings.db_url) as db:
        _answer_again(db, user.id, chat)
        for turn in range(230):
            _write_turn(db, user.id, archive, random.Random(turn))  # noqa: S311 - the same each time
    return chat


def _answer_again(db: psycopg.Connection, user_id: str, chat: str) -> None:
    """Store a second reply beside the first one."""
    db.execute(
        "insert into branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)"
        " values (%s, %s, 1, 0, 1, 3)",
        (user_id, chat),
    )
    db.execute("update conversations set active_branch = 1, last_branch = 1 where id = %s", (chat,))
    db.execute(
        "insert into messages (conversation_id, user_id, role, content, metadata, parts)"
        " values (%s, %s, 'assistant', %s, %s, %s)",
        (chat, user_id, ANSWER, Jsonb(ENGINE), Jsonb(PARTS)),
    )


def _write_turn(db: psycopg.Connection, user_id: str, chat: str, chance: random.Random) -> None:
    """Store a turn of some day of the month: fewer at weekends, as people are."""
    day = datetime.now(UTC) - timedelta(days=chance.randrange(DAYS), hours=chance.randrange(9))
    if day.weekday() > 4 and chance.random() < 0.8:
        return
    turn, status = str(uuid.uuid4()), chance.choice(STATUSES)
    took = timedelta(seconds=round(chance.lognormvariate(1.1, 0.5), 2))
    db.execute(
        "insert into turns (id, conversation_id, user_id, idempotency_key, request_hash, status,"
        " replays, lease_expires_at, started_at, finished_at)"
        " values (%s, %s, %s, %s, 'hash', %s, %s, now(), %s, %s)",
        (turn, chat, user_id, turn, status, int(chance.random() < 0.1), day, day + took),
    )
    metadata: dict[str, Any] = {
        **ENGINE,
        "success": status == "completed",
        "intent": chance.choices(INTENTS, [9, 8, 6, 4, 3, 2])[0],
        "complexity": chance.choices(["simple", "moderate", "complex"], [5, 4, 1])[0],
        "strategy": chance.choices(["direct_answer", "generate_code", "step_by_step"], [4, 3, 2])[
            0
        ],
        "usage": {"input_tokens": chance.randrange(800, 9000), "output_tokens": 400},
        "filesGenerated": chance.choice([0, 0, 1, 2]),
        "persistedAfter": round(chance.uniform(0.006, 0.02), 4),
    }
    for role, held in (("user", {}), ("assistant", metadata)):
        db.execute(
            "insert into messages (conversation_id, user_id, role, content, metadata, turn_id)"
            " values (%s, %s, %s, '...', %s, %s)",
            (chat, user_id, role, Jsonb(held), turn),
        )
