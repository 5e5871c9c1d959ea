"""The route handlers of examples/next-route, called as a server calls them, on a real stack."""

import asyncio
import json
import os
import subprocess
from typing import Any

from local.node import NODE
from local.settings import ROOT
from local.stack import Stack
from tests.support.clients import install_clients
from tests.support.strict_types import type_errors
from tests.support.users import User

HANDLERS = ROOT / "examples" / "next-route" / "chat.ts"


async def test_a_chat_goes_through_an_apps_own_server(stack: Stack, user: User) -> None:
    """With the user's token: sent, streamed, loaded and resumed; a stranger gets no further."""
    seen = await asyncio.to_thread(_seen_by_the_transport, stack, user)
    rows = (await user.load(seen["chatId"])).json()["messages"]
    assert [row["content"] for row in rows] == [
        "".join(part.get("text", "") for part in message["parts"]) for message in seen["loaded"]
    ]
    assert seen["reply"] == seen["loaded"][1]
    assert (seen["resumed"], seen["stranger"]) == (None, 401)


def test_the_handlers_pass_strict_types() -> None:
    """As an app's compiler checks what is copied from there."""
    assert type_errors(HANDLERS) == ""


def _seen_by_the_transport(stack: Stack, user: User) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, install_clients() / "route.mjs", HANDLERS, user.token],
        env={**os.environ, **stack.settings.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
