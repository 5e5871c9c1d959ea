"""What is sent of a turn that is begun or completed."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from shared.errors import StoreUnavailableError
from shared.persistence import Persistence

ID = uuid.UUID(int=1)


class ListeningStore:
    """Keeps what it is sent, and is away."""

    sent: Mapping[str, Any]

    async def call(self, function: str, arguments: Mapping[str, Any], **_: Any) -> Any:
        """Take a call."""
        self.sent = arguments
        raise StoreUnavailableError


async def test_what_says_nothing_is_not_sent() -> None:
    """Each is one argument less to write and to read; of a known key it counts that it has none."""
    store = ListeningStore()
    with pytest.raises(StoreUnavailableError):
        await Persistence(store).begin_turn(
            user_id=ID, idempotency_key="k", request_hash=None, request="Hi", message_id=ID,
            conversation_id=None, project_id=None, metadata={}, parts=[], lease_seconds=9,
            history_tokens=0, opens_conversation=False, known_from=None,
        )  # fmt: skip
    assert store.sent == {
        "user_id": str(ID), "idempotency_key": "k", "request_hash": None, "request": "Hi",
        "message_id": str(ID), "metadata": {}, "lease_seconds": 9, "history_tokens": 0,
        "opens_conversation": False,
    }  # fmt: skip


async def test_no_tokens_and_no_text_are_sent() -> None:
    """A zero and an empty text say something."""
    store = ListeningStore()
    with pytest.raises(StoreUnavailableError):
        await Persistence(store).complete_turn(
            user_id=ID, turn_id=ID, attempt=1, message_id=ID, status="completed", content="",
            generated_code=None, metadata={}, error=None, tokens=0, parts=None, native=None,
        )  # fmt: skip
    assert (store.sent["tokens"], store.sent["content"]) == (0, "")
    assert not {"generated_code", "error", "parts", "native"} & store.sent.keys()
