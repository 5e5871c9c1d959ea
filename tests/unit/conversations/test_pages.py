"""A page whose open turn has no worker any more."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from shared.auth.caller import Caller
from shared.conversations.pages import read_conversation
from shared.errors import StoreUnavailableError
from shared.models.conversations import LoadConversationRequest


class ReadOnlyStore:
    """A store that gives what it has, and takes nothing."""

    def __init__(self) -> None:
        self.page = SimpleNamespace(
            open_turn=SimpleNamespace(is_expired=True),
            conversation=SimpleNamespace(id=uuid4()),
            last_seq=1,
        )

    async def load_conversation(self, *_: Any, **__: Any) -> Any:
        """Give the page."""
        return self.page

    async def settle_expired_turn(self, *_: Any) -> Any:
        """Refuse."""
        raise StoreUnavailableError


async def test_a_conversation_is_read_though_its_turn_can_not_be_settled() -> None:
    """As of a Postgres whose disk is full, which is read-only then."""
    store: Any = ReadOnlyStore()
    request = LoadConversationRequest.model_validate({"conversationId": str(uuid4())})
    caller = Caller(uuid4(), "token")
    assert await read_conversation(store, uuid4(), request, caller=caller) is store.page
