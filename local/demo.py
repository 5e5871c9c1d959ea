"""The whole promise in one run: say something, kill the database, start it again, find it all."""

import json
import uuid
from typing import Any

import httpx

from local import postgres
from local.errors import LocalStackError
from local.stack import Stack

REQUESTS = (
    "Write a Python function that parses ISO dates",
    "Now add a test for it, with a leap day",
)


def run_demo(stack: Stack) -> None:
    """Sign up, send, kill -9, start, send, load, compare; raise LocalStackError on any loss."""
    was_up = not stack.dead_parts()
    print("1. Start the stack")
    stack.up()
    try:
        _keep_the_promise(stack)
    finally:
        if not was_up:
            print("8. Stop the stack")
            stack.down()


def _keep_the_promise(stack: Stack) -> None:
    with httpx.Client(base_url=stack.settings.url, timeout=60) as client:
        print("2. Sign a new user up")
        stack.say(_sign_up(client, stack))

        print("3. First turn")
        first = _send(stack, client, request=REQUESTS[0])
        conversation_id = first["conversationId"]

        print("4. Kill Postgres with SIGKILL, all of its processes at once")
        postgres.kill_server(stack.settings)
        refused = client.post("/functions/v1/mega-mind", json={"request": "Anyone there?"})
        stack.say(f"a request meanwhile: {refused.status_code} {refused.json()['code']}")

        print("5. Start the stack again")
        stack.up()

        print("6. Second turn, in the same conversation")
        second = _send(stack, client, request=REQUESTS[1], conversationId=conversation_id)

        print("7. Load the conversation and compare, byte for byte")
        loaded = client.get(
            "/functions/v1/load-conversation", params={"conversationId": conversation_id}
        ).json()["messages"]
    acknowledged = [turn[row] for turn in (first, second) for row in ("userMessage", "message")]
    _compare(stack, acknowledged, loaded)


def _sign_up(client: httpx.Client, stack: Stack) -> str:
    email = f"demo-{uuid.uuid4().hex[:8]}@example.com"
    response = client.post(
        "/auth/v1/signup",
        headers={"apikey": stack.settings.environment()["SUPABASE_PUBLISHABLE_KEY"]},
        json={"email": email, "password": uuid.uuid4().hex},
    )
    response.raise_for_status()
    client.headers["authorization"] = f"Bearer {response.json()['access_token']}"
    return email


def _send(stack: Stack, client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/functions/v1/mega-mind", json=body)
    response.raise_for_status()
    turn: dict[str, Any] = response.json()
    stack.say(f"you: {turn['userMessage']['content']}")
    stack.say(f"AI:  {turn['message']['content'].splitlines()[0]}")
    return turn


def _compare(stack: Stack, acknowledged: list[Any], loaded: list[Any]) -> None:
    if _bytes(acknowledged) != _bytes(loaded):
        raise LocalStackError("What was acknowledged is not what was loaded.")
    stack.say(f"{len(loaded)} messages, {len(_bytes(loaded))} bytes: the same as acknowledged")


def _bytes(rows: list[Any]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()
