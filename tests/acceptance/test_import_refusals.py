"""Files that are not taken: a clear error each, and nothing of them is left."""

from typing import Any

import psycopg
import pytest

from local.stack import Stack
from shared.errors import StoreUnavailableError
from shared.persistence import Persistence
from tests.support.bundle import bundle, settings_for
from tests.support.importing import LIST, broken, said_in
from tests.support.users import User


@pytest.mark.promise("imports", red="parts numbered from 0 in each call")
async def test_a_store_that_fails_halfway_leaves_whole_conversations_and_is_gone_on_with(
    stack: Stack, user: User, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs more parts than were taken is nowhere to be seen; the same file ends it."""
    take = Persistence.take_import_part

    async def fail_late(self: Any, *ids: Any, **more: Any) -> Any:
        if more["part"] == 2:
            raise StoreUnavailableError
        return await take(self, *ids, **more)

    long = [{"role": "user", "content": str(n)} for n in range(1500)]
    file = [{"messages": LIST}, {"messages": long}]
    async with bundle(settings_for(stack), token=user.token) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Persistence, "take_import_part", fail_late)
            failed = await client.post("/import-conversation", json=file)
        seen = (await user.functions.get("/conversations")).json()["conversations"]
        healed = (await client.post("/import-conversation", json=file)).json()
    short, whole = (row["conversationId"] for row in healed["taken"])
    assert (failed.status_code, failed.json()["code"]) == (503, "store_unavailable")
    assert [row["id"] for row in seen] == [short]
    assert (healed["messages"], healed["skipped"]) == (1503, [])
    assert len(await said_in(user, whole)) == 50
    assert broken(db, [short, whole]) == []
