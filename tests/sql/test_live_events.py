"""Live events of a turn: both of a commit in one insert, else one by one, and never in its way."""

import psycopg
import pytest

from tests.support.sql_calls import Caller, make_account

# realtime.send names the topic in a setting; nothing else does.
REFUSE = """
create function realtime.refuse() returns trigger language plpgsql as $$
begin
    if {} then
        raise exception 'not this way';
    end if;
    return new;
end;
$$;
create trigger refuse before insert on realtime.messages
    for each row execute function realtime.refuse();
"""
REFUSED = {
    "nothing": ("false", ["message", "status"]),
    "all but realtime.send": (
        "coalesce(current_setting('realtime.topic', true), '') = ''",
        ["message", "status"],
    ),
    "everything": ("true", []),
}


@pytest.mark.parametrize(("condition", "events"), REFUSED.values(), ids=REFUSED)
def test_a_platform_that_refuses_an_event_costs_the_event_at_most(
    scratch: psycopg.Connection, condition: str, events: list[str]
) -> None:
    """The turn is stored; what realtime.send still takes is sent by it."""
    scratch.execute(REFUSE.format(condition).encode())
    begun = Caller(scratch).begin(make_account(scratch))
    sent = scratch.execute("select event from realtime.messages order by event").fetchall()
    assert begun["outcome"] == "started"
    assert [event for (event,) in sent] == events
