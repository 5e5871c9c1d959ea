"""A key outlives what came under it: the same request after a deletion brings nothing back."""

from typing import Any

import psycopg
import pytest

from tests.support.importing import LIST, count_of, send, taken_from
from tests.support.provider_files import gpt_conversation, gpt_message
from tests.support.users import User

pytestmark = pytest.mark.promise("one key, one effect")

KEY = {"idempotency-key": "one"}
CHATS: list[dict[str, Any]] = [
    gpt_conversation([("a", None, gpt_message("user", said, at=1))], conversation_id=said)
    for said in ("first", "second")
]
FILES = {"list": (LIST, 1), "export of another system": (CHATS, 2)}


async def remove(user: User, way: str, conversation: str) -> None:
    """Remove a conversation, alone or with all there is."""
    if way == "erasure":
        answer = await user.functions.post(
            "/erase-account", json={"confirm": "erase"}, headers={"Idempotency-Key": "erasure"}
        )
        assert answer.status_code == 200
    elif way == "data api":
        client = await user.supabase()
        await client.table("conversations").delete().eq("id", conversation).execute()
    else:
        answer = await user.functions.delete(f"/conversations/{conversation}")
        assert answer.is_success


@pytest.mark.promise("one key, one effect", red="`is_import_key_used` not asked in `take_piece`")
@pytest.mark.parametrize("way", ["delete", "data api", "erasure"])
@pytest.mark.parametrize(("file", "conversations"), FILES.values(), ids=FILES)
async def test_an_import_that_is_sent_again_brings_nothing_back(
    user: User,
    other_user: User,
    db: psycopg.Connection,
    file: list[dict[str, Any]],
    conversations: int,
    way: str,
) -> None:
    """The report says so; another key takes the file again, and so does somebody else's."""
    taken = await taken_from(user, file, KEY)
    assert len(taken) == conversations
    for conversation in taken if way != "erasure" else taken[:1]:
        await remove(user, way, conversation)
    again = await send(user, file, KEY)
    assert (again.status_code, again.json()["taken"]) == (200, [])
    assert [one["reason"] for one in again.json()["skipped"]] == ["deleted"] * conversations
    assert [one["conversationId"] for one in again.json()["skipped"]] == [None] * conversations
    assert count_of(db, user) == (0, 0, 0)
    assert len(await taken_from(other_user, file, KEY)) == conversations
    assert len(await taken_from(user, file, {"idempotency-key": "two"})) == conversations
    known = (await send(user, file)).json()
    assert len(known["taken"]) == (file is LIST)


async def test_what_was_kept_of_an_import_is_known_and_the_rest_stays_deleted(user: User) -> None:
    """One of two conversations was deleted."""
    first, second = await taken_from(user, CHATS, KEY)
    await remove(user, "delete", first)
    again = (await send(user, CHATS, KEY)).json()
    assert [(one["reason"], one["conversationId"]) for one in again["skipped"]] == [
        ("deleted", None), ("already_imported", second),
    ]  # fmt: skip
