"""The specification's own tests: from an HTTP request to the stored row and back."""

import asyncio

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.engines import FailingEngine, ScriptedEngine
from tests.support.users import User

SPECIFIED_METADATA = {
    "success", "filesGenerated", "duration", "intent", "complexity", "strategy", "timestamp",
}  # fmt: skip


async def test_a_user_message_is_stored_before_the_ai_runs(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """While the AI is still working, the user's row is committed and readable."""
    engine = ScriptedEngine(hold=True)
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        sending = asyncio.create_task(client.post("/mega-mind", json={"request": "First"}))
        await asyncio.wait_for(engine.started.wait(), timeout=20)
        stored = db.execute(
            "select role, content from messages where user_id = %s", (user.id,)
        ).fetchall()
        engine.release.set()
        answer = await sending
    assert stored == [("user", "First")]
    assert answer.json()["success"] is True


async def test_a_reply_is_stored_after_the_ai_has_run(user: User, db: psycopg.Connection) -> None:
    """The reply's row is what the answer shows, in the same conversation, owned by the user."""
    answer = (await user.send("What is a mutex?")).json()
    row = db.execute(
        "select role, content, user_id::text, conversation_id::text, seq"
        " from messages where id = %s",
        (answer["message"]["id"],),
    ).fetchone()
    assert row == (
        "assistant",
        answer["message"]["content"],
        user.id,
        answer["conversationId"],
        2,
    )


async def test_messages_load_in_the_order_they_were_said(user: User) -> None:
    """Three turns come back as six messages, alternating, oldest first."""
    first = (await user.send("one")).json()
    for request in ("two", "three"):
        await user.send(request, conversationId=first["conversationId"])
    loaded = (await user.load(first["conversationId"])).json()
    assert [(m["seq"], m["role"]) for m in loaded["messages"]] == [
        (1, "user"), (2, "assistant"), (3, "user"), (4, "assistant"), (5, "user"), (6, "assistant"),
    ]  # fmt: skip
    assert [m["content"] for m in loaded["messages"][::2]] == ["one", "two", "three"]
    assert loaded["page"] == {
        "hasOlder": False, "hasNewer": False, "oldestSeq": 1, "newestSeq": 6,
    }  # fmt: skip
    assert loaded["openTurn"] is None


async def test_a_failed_ai_leaves_a_stored_error_message(stack: Stack, user: User) -> None:
    """The failure is a reply row that says so, and the answer is still a 200."""
    async with bundle(settings_for(stack), token=user.token, engine=FailingEngine()) as client:
        answer = await client.post("/mega-mind", json={"request": "Please"})
    body = answer.json()
    loaded = (await user.load(body["conversationId"])).json()["messages"][-1]
    assert answer.status_code == 200
    assert body["success"] is False
    assert loaded == body["message"]
    assert loaded["role"] == "assistant"
    assert loaded["metadata"]["success"] is False
    assert loaded["metadata"]["error"] == {
        "type": "provider_unavailable",
        "message": "The AI provider could not answer.",
    }


async def test_metadata_has_every_field_and_keeps_the_callers_own(user: User) -> None:
    """Ours are all there, the caller's stand beside them, on the reply and on the request."""
    project = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
    own = {"client": "web", "nested": {"list": [1, 2.5, None, "x"]}}
    answer = (await user.send("Hello", projectId=project, metadata=own)).json()
    reply, asked = answer["message"]["metadata"], answer["userMessage"]["metadata"]
    assert own.items() <= reply.items()
    assert own.items() <= asked.items()
    assert asked["projectId"] == project
    assert isinstance(asked["timestamp"], str)
    assert reply.keys() >= SPECIFIED_METADATA
    assert reply["success"] is True
    assert reply["engine"] == "offline"
    assert isinstance(reply["duration"], float)
    assert reply["complexity"] in {"simple", "moderate", "complex"}


async def test_generated_code_is_stored_with_its_reply(user: User) -> None:
    """A file that the AI wrote is in generated_code, named in files, counted in filesGenerated."""
    answer = (await user.send("Write a Python function that adds two numbers")).json()
    files = answer["files"]
    assert files
    assert files == answer["message"]["metadata"]["files"]
    assert answer["filesGenerated"] == answer["message"]["metadata"]["filesGenerated"] == len(files)
    assert "def " in answer["message"]["generated_code"]


async def test_the_ai_is_given_the_stored_history(stack: Stack, user: User) -> None:
    """On the third turn it sees the four messages before, and nothing that a client sent."""
    engine = ScriptedEngine("Reply.")
    async with bundle(settings_for(stack), token=user.token, engine=engine) as client:
        first = (await client.post("/mega-mind", json={"request": "one"})).json()
        for request in ("two", "three"):
            await client.post(
                "/mega-mind",
                json={"request": request, "conversationId": first["conversationId"]},
            )
    assert [(m.role, m.content) for m in engine.histories[2]] == [
        ("user", "one"), ("assistant", "Reply."), ("user", "two"), ("assistant", "Reply."),
    ]  # fmt: skip


async def test_without_persistence_the_ai_answers_and_nothing_is_stored(
    user: User, db: psycopg.Connection
) -> None:
    """persistMessages false leaves no row behind."""
    answer = await user.send("Just asking", persistMessages=False)
    count = db.execute("select count(*) from messages where user_id = %s", (user.id,)).fetchone()
    assert answer.status_code == 200
    assert answer.json()["message"]["content"]
    assert answer.json()["userMessage"] is None
    assert count == (0,)


async def test_a_stranger_may_ask_only_where_the_demo_is_on_and_nothing_is_stored(
    stack: Stack, user: User
) -> None:
    """Without a token: 401, unless the demo is on and persistence is off."""
    statuses = []
    for demo in (False, True):
        settings = settings_for(stack, allow_anonymous_demo=demo)
        async with bundle(settings, token=user.token) as client:
            del client.headers["authorization"]
            for persist in (True, False):
                body = {"request": "Hi", "persistMessages": persist}
                statuses.append((await client.post("/mega-mind", json=body)).status_code)
    assert statuses == [401, 401, 401, 200]


@pytest.mark.promise("any text")
@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "日本語 العربية 🎉", "\u202eevil", "a" * 2_000_000]
)
async def test_text_of_any_kind_is_stored_byte_for_byte(user: User, text: str) -> None:
    """What was sent comes back as it was."""
    answer: httpx.Response = await user.send(text)
    loaded = (await user.load(answer.json()["conversationId"])).json()
    assert loaded["messages"][0]["content"] == text
