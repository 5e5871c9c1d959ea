"""What the project's users used, asked with the service key over HTTP and by the program."""

import json
import subprocess
import sys
from typing import Any

from local.settings import ROOT
from local.stack import Stack
from tests.support.users import User, functions_client

RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


async def test_the_operator_sees_each_users_turns_and_storage(
    stack: Stack, user: User, other_user: User
) -> None:
    """By pages over GET and POST, and by the program; a signed-in user is refused."""
    for request in ("One", "Two"):
        assert (await user.send(request)).status_code == 200
    assert (await other_user.send("Three")).status_code == 200
    seen: dict[str, Any] = {}
    async with functions_client(stack.settings.url, apikey=stack.settings.keys.secret) as operator:
        page = (await operator.get("/project-usage", params=RANGE)).json()
        seen |= {used["userId"]: used for used in page["users"]}
        while page["more"]:
            body = {**RANGE, "after": page["users"][-1]["userId"], "limit": 50}
            page = (await operator.post("/project-usage", json=body)).json()
            seen |= {used["userId"]: used for used in page["users"]}
    refused = await user.functions.get("/project-usage", params=RANGE)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    mine, others = seen[user.id], seen[other_user.id]
    assert (mine["turns"], mine["completed"], mine["messages"]) == (2, 2, 4)
    assert (others["turns"], others["conversations"]) == (1, 1)
    assert mine["bytes"] > others["bytes"] > 0
    assert program(stack)[user.id]["turns"] == 2


def program(stack: Stack) -> dict[str, dict[str, int]]:
    """Run python -m shared.usage as an operator does; return its figures by user."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.usage", "--json"],
        cwd=ROOT, env=stack.settings.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {used["userId"]: used for used in json.loads(done.stdout)}
