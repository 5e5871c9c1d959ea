"""What is being deleted is seen through no door, though its rows are still there."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.support.hidden_chats import Hidden
from tests.support.sql_calls import Caller

pytest_plugins = ["tests.support.idle_chats", "tests.support.hidden_chats"]

READS: dict[str, tuple[Callable[[Hidden], Any], Any]] = {
    "conversations": (lambda h: h.count("conversations"), 0),
    "messages": (lambda h: h.count("messages"), 0),
    "turns": (lambda h: h.count("turns"), 0),
    "summaries": (lambda h: h.count("summaries"), 0),
    "events": (
        lambda h: h.count(
            "realtime.messages,"
            f" set_config('realtime.topic', 'conversation:{h.conversation}', true)"
        ),
        0,
    ),
    "list": (lambda h: h.as_owner("list_conversations")["conversations"], []),
    "list by the service": (lambda h: h.as_service("list_conversations")["conversations"], []),
    "search": (lambda h: h.as_owner("search_messages", q="zebra")["hits"], []),
    "export": (lambda h: h.as_owner("export_conversations")["conversations"], []),
    "export by the service": (lambda h: h.as_service("export_conversations")["conversations"], []),
    "analytics": (
        lambda h: h.as_owner("conversation_analytics", **h.analytics())["totals"]["turns"],
        0,
    ),
    "analytics by the service": (
        lambda h: h.as_service("conversation_analytics", **h.analytics())["totals"]["turns"],
        0,
    ),
    "a heartbeat": (
        lambda h: Caller(h.db).call(
            "extend_turns",
            extensions=json.dumps(
                [
                    {
                        "user_id": h.owner,
                        "turn_id": h.running["turn"]["id"],
                        "attempt": 1,
                        "draft_offset": 0,
                        "draft_tail": "x",
                    }
                ]
            ),
            lease_seconds=60,
        )["turns"][0]["is_ours"],
        False,
    ),
    "expired turns": (lambda h: Caller(h.db).call("list_expired_turns")["turns"], []),
}


@pytest.mark.promise("erasure", red="policies and functions that read the table")
@pytest.mark.parametrize("door", READS)
def test_what_is_being_deleted_is_not_read(hidden: Hidden, door: str) -> None:
    """By its owner or the service, though its rows are still there."""
    rows = hidden.db.execute(
        "select count(*) from messages where conversation_id = %s", (hidden.conversation,)
    )
    read, nothing = READS[door]
    assert rows.fetchone() == (3,)
    assert read(hidden) == nothing


ASKED: dict[str, Callable[[Hidden], Any]] = {
    "load": lambda h: h.as_owner("load_conversation", **h.named()),
    "load by the service": lambda h: h.as_service("load_conversation", **h.named()),
    "get": lambda h: h.as_owner("get_conversation", **h.named()),
    "rename": lambda h: h.as_owner("update_conversation", title="x", **h.named()),
    "rename by the service": lambda h: h.as_service("update_conversation", title="x", **h.named()),
    "search in it": lambda h: h.as_owner("search_messages", q="zebra", **h.named()),
    "export": lambda h: h.as_owner("export_messages", **h.named()),
    "history": lambda h: h.as_service("load_history", **h.named()),
    "to be summarised": lambda h: h.as_service(
        "load_unsummarised", history_tokens=100, **h.named()
    ),
    "summary": lambda h: h.as_service(
        "write_summary", message_id=str(uuid.uuid4()), covers_to=2, content="x", **h.named()
    ),
    "hold": lambda h: h.as_service("place_legal_hold", reason="x", **h.named()),
    "turn": lambda h: Caller(h.db).begin(h.owner, **h.named()),
    "a known key": lambda h: Caller(h.db).begin(h.owner, idempotency_key="settled", **h.named()),
    "the key of a turn that ran": lambda h: Caller(h.db).begin(
        h.owner, idempotency_key="running", **h.named()
    ),
    "completion": lambda h: Caller(h.db).complete(h.running),
    "completion again": lambda h: Caller(h.db).complete(h.settled),
    "cancel": lambda h: h.as_service("cancel_turn", turn_id=h.running["turn"]["id"]),
    "cancel what is settled": lambda h: h.as_service(
        "cancel_turn", turn_id=h.settled["turn"]["id"]
    ),
    "turn by its id": lambda h: h.as_owner("load_turn", turn_id=h.settled["turn"]["id"]),
    "turn by its id, the service": lambda h: h.as_service(
        "load_turn", turn_id=h.settled["turn"]["id"]
    ),
}


@pytest.mark.promise("erasure", red="policies and functions that read the table")
@pytest.mark.parametrize("what", ASKED)
def test_what_is_being_deleted_is_not_found(hidden: Hidden, what: str) -> None:
    """As what is gone; nothing is written."""
    with pytest.raises(psycopg.Error) as refused, hidden.db.transaction():
        ASKED[what](hidden)
    assert refused.value.sqlstate == "PT404"


@pytest.mark.promise("erasure", red="a message is placed wherever the row is")
def test_a_message_to_what_is_being_deleted_is_refused_as_to_what_is_gone(hidden: Hidden) -> None:
    """With the same words."""
    refusals = []
    for conversation in (hidden.conversation, str(uuid.uuid4())):
        with pytest.raises(psycopg.Error) as refused, hidden.db.transaction():
            hidden.db.execute(
                "insert into messages (conversation_id, user_id, role, content)"
                " values (%s, %s, 'user', 'x')",
                (conversation, hidden.owner),
            )
        refusals.append((refused.value.sqlstate, refused.value.diag.message_primary))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] == "23503"
