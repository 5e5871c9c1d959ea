"""Exports as the store gives them: large pages are read beside the event loop."""

from typing import Any, cast
from uuid import uuid4

from shared.auth.caller import Caller
from shared.persistence.rpc import Store
from shared.persistence.transfers import TransferCalls
from tests.support.event_loop import turns_of_others

AT = "2026-11-22T10:00:00+00:00"
NUMBERS = '{"a":[' + "1.5," * 30_000 + "1]}"


class OnePage:
    """A store that has one page, of messages with as many numbers as a row may hold."""

    async def call(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the page."""
        user, conversation = str(uuid4()), str(uuid4())
        times = {"created_at": AT, "updated_at": AT, "archived_at": None}
        row = {"id": conversation, "user_id": user, "project_id": None, "title": "T",
               "metadata": "{}", "last_seq": 3, "imported": None, **times}  # fmt: skip
        messages = [
            {"id": str(uuid4()), "conversation_id": conversation, "user_id": user, "seq": seq,
             "role": "user", "content": "x", "generated_code": None, "metadata": NUMBERS,
             "is_summary": False, "created_at": AT, "turn_id": None, "turn": None}
            for seq in (1, 2, 3)
        ]  # fmt: skip
        return {"conversation": row, "messages": messages}


async def test_a_page_of_many_numbers_stops_nobody_else() -> None:
    """Each keeps all its digits, which takes time."""
    calls = TransferCalls(cast("Store", OnePage()))
    reading = calls.export_messages(uuid4(), uuid4(), caller=cast("Caller", None))
    assert await turns_of_others(reading) > 5
