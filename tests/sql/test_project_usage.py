"""project_usage against turns that were counted by hand."""

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.sql.test_analytics import PRICES, add_turn
from tests.support.sql_calls import Caller, make_account, make_conversation

pytest_plugins = ["tests.support.idle_chats"]

NOVEMBER = {"starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}
INSIDE, BEFORE = "2026-11-10T10:00:00+00:00", "2026-10-31T23:59:59+00:00"


def test_each_user_is_counted_apart_and_failures_by_reason(
    service: Caller, scratch: psycopg.Connection
) -> None:
    """Turns of the range alone; conversations, messages and bytes of all time."""
    busy, idle, nobody = sorted(make_account(scratch) for _ in range(3))
    usage: dict[str, Any] = {"usage": {"input_tokens": 1_000_000, "output_tokens": 100_000}}
    add_turn(scratch, busy, INSIDE, engine="openai:large", **usage)
    add_turn(scratch, busy, INSIDE, status="failed")
    add_turn(scratch, busy, INSIDE, status="failed")
    add_turn(scratch, busy, INSIDE, status="interrupted")
    add_turn(scratch, busy, BEFORE, engine="openai:large", **usage)
    failed = "update turns set error = %s where user_id = %s and status = 'failed'"
    scratch.execute(failed, (Jsonb({"type": "timeout", "message": "m"}), busy))
    make_conversation(scratch, idle)
    answer = service.call("project_usage", **NOVEMBER, prices=PRICES)
    assert answer["more"] is False
    assert [user["user_id"] for user in answer["users"]] == [busy, idle]
    first, second = answer["users"]
    assert (first["turns"], first["completed"]) == (4, 1)
    assert first["failures"] == {"timeout": 2, "interrupted": 1}
    assert (first["input_tokens"], first["output_tokens"]) == (1_000_000, 100_000)
    assert first["cost"] == 2.25
    assert (first["conversations"], first["messages"]) == (5, 10)
    assert first["bytes"] > 10 * len("text")
    assert (second["turns"], second["cost"], second["messages"], second["bytes"]) == (0, 0, 0, 0)
    assert nobody not in {user["user_id"] for user in answer["users"]}


def test_a_cost_is_unknown_if_a_model_has_no_price(
    service: Caller, scratch: psycopg.Connection
) -> None:
    """Rather than too small."""
    add_turn(scratch, make_account(scratch), INSIDE, engine="new", usage={"input_tokens": 1})
    (user,) = service.call("project_usage", **NOVEMBER, prices=PRICES)["users"]
    assert user["cost"] is None


def test_pages_hold_every_user_once(service: Caller, scratch: psycopg.Connection) -> None:
    """Each behind the last one of the page before."""
    users = sorted(make_account(scratch) for _ in range(5))
    for user in users:
        make_conversation(scratch, user)
        make_conversation(scratch, user)
    seen: list[str] = []
    more, after = True, None
    while more:
        page = service.call("project_usage", **NOVEMBER, after_user_id=after, most=2)
        seen += [user["user_id"] for user in page["users"]]
        more, after = page["more"], seen[-1]
    assert seen == users
