"""An erasure goes on until nothing is left, or the request has taken long enough."""

import uuid
from typing import Any

import pytest

from shared.auth.caller import Caller
from shared.conversations import erasure
from shared.conversations.erasure import erase_account
from shared.models.erasure import ErasureReceipt
from shared.persistence import Persistence

USER = uuid.uuid4()
OWNER = Caller(user_id=USER, token="token")
SERVICE = Caller(user_id=None, token=None)


class Batches(Persistence):
    """A store in which so many conversations are left after each call."""

    def __init__(self, *remaining: int) -> None:
        self.remaining = list(remaining)
        self.calls: list[dict[str, Any]] = []

    async def erase_account(self, user_id: uuid.UUID, **arguments: Any) -> ErasureReceipt:
        """Take the next number off the list."""
        self.calls.append({"user_id": user_id, **arguments})
        left = self.remaining.pop(0)
        return ErasureReceipt(
            id=uuid.UUID(int=1), user_id=user_id, requested_at="then",
            erased_at=None if left else "now", conversations=len(self.calls),
            messages=7, turns=3, summaries=2, import_parts=1, held=0, remaining=left,
        )  # fmt: skip


async def test_batches_follow_each_other_under_one_key() -> None:
    """The answer is the last receipt."""
    store = Batches(900, 400, 0)
    answer = await erase_account(store, USER, caller=OWNER, idempotency_key="key")
    assert store.calls == [{"user_id": USER, "idempotency_key": "key", "requested_by": "user"}] * 3
    assert answer.model_dump(mode="json", by_alias=True) == {
        "receiptId": str(uuid.UUID(int=1)),
        "userId": str(USER),
        "requestedAt": "then",
        "erasedAt": "now",
        "removed": {
            "conversations": 3,
            "messages": 7,
            "turns": 3,
            "summaries": 2,
            "importParts": 1,
        },
        "held": 0,
        "remaining": 0,
    }


async def test_a_long_erasure_says_what_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the caller goes on with the same key; the service is named as the one who asked."""
    monkeypatch.setattr(erasure, "SECONDS", -1)
    store = Batches(900)
    answer = await erase_account(store, USER, caller=SERVICE, idempotency_key="key")
    assert (answer.remaining, answer.erased_at) == (900, None)
    assert store.calls[0]["requested_by"] == "service"
