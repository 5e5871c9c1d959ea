"""How many turns run in the project, as each heartbeat is answered."""

import psycopg
from psycopg.types.json import Jsonb

from tests.support.sql_calls import Caller, expire, make_account


def test_a_heartbeat_counts_the_turns_of_all_users_that_have_a_worker(
    scratch: psycopg.Connection,
) -> None:
    """Not those that are settled, nor those whose lease is over; also where it extends none."""
    service = Caller(scratch)
    begun = [service.begin(make_account(scratch)) for _ in range(4)]
    service.complete(begun[0])
    expire(scratch, begun[1])
    answer = service.call("extend_turns", extensions=Jsonb([]), lease_seconds=60)
    assert answer == {"turns": [], "running": 2}
