"""Parts of the stack killed at will: what callers see, what is left, and how `up` heals it."""

import asyncio
import json
import os
import shutil
from typing import Any

import httpx
import psutil
import pytest

from local.postgres import kill_server
from local.processes import Part
from local.stack import Stack, processes_left_in
from tests.support.stack import settings_in, temporary_home
from tests.support.users import User, sign_up


def kill(part: Part) -> None:
    """Kill a part as a crash would."""
    process = part.process()
    assert process is not None
    process.kill()
    psutil.wait_procs([process], timeout=10)


async def conversations_of(user: User, ids: list[str]) -> list[dict[str, Any]]:
    """Return what load-conversation says about each of them."""
    return [(await user.load(conversation_id, limit=200)).json() for conversation_id in ids]


async def at_the_functions(stack: Stack) -> User:
    """Sign a user up who talks to the functions' own port, over fresh connections.

    So what they see is the bundle's answer, also while the gateway is the part that is dead.
    """
    user = await sign_up(stack)
    await user.functions.aclose()
    user.functions = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{stack.settings.ports.functions}/functions/v1",
        headers={"authorization": f"Bearer {user.token}"},
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=60,
    )
    return user


@pytest.mark.promise("durable")
async def test_whatever_is_killed_nothing_acknowledged_is_lost_and_up_heals_it(
    own_stack: Stack,
) -> None:
    """Postgres with -9 under load, then each other part alone."""
    user = await at_the_functions(own_stack)
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def send_until_it_breaks(name: str) -> int:
        for number in range(500):
            answer = await user.send(f"{name} {number} é🎉")
            if answer.status_code != 200:
                return answer.status_code
            acknowledged.append(answer.json()["conversationId"])
            if len(acknowledged) == 8:
                enough.set()
        return 0

    await user.functions.get("/conversations")
    senders = [asyncio.create_task(send_until_it_breaks(f"sender {n}")) for n in range(4)]
    await asyncio.wait_for(enough.wait(), timeout=60)
    before = await conversations_of(user, acknowledged[:8])
    await asyncio.to_thread(kill_server, own_stack.settings)
    assert await asyncio.gather(*senders) == [503] * 4

    down = await user.send("while it is down")
    assert (down.status_code, down.json()["code"]) == (503, "store_unavailable")
    assert (await user.functions.get("/health")).status_code == 200
    assert (await user.functions.get("/health", params={"deep": "1"})).status_code == 503

    await asyncio.to_thread(own_stack.up)
    assert await conversations_of(user, acknowledged[:8]) == before
    assert all(len(page["messages"]) == 2 for page in await conversations_of(user, acknowledged))

    for part in (own_stack.gateway, own_stack.functions, own_stack.realtime):
        survivors = [other for other in own_stack.parts if other is not part]
        pids = {other.name: other.process() for other in survivors}
        kill(part)
        assert own_stack.dead_parts() == [part]
        if part is own_stack.realtime:
            assert (await user.send("without Realtime")).json()["success"] is True
        if part is own_stack.gateway:
            assert (await user.send("without the store")).status_code == 503
        await asyncio.to_thread(own_stack.up)
        assert own_stack.dead_parts() == []
        assert {other.name: other.process() for other in survivors} == pids
        assert (await user.send(f"after {part.name}")).json()["success"] is True
    assert await conversations_of(user, acknowledged[:8]) == before
    await user.functions.aclose()


async def test_an_interrupted_first_start_is_healed_by_the_next() -> None:
    """Half-made folders, pid files that are lost, broken, or name another program."""
    stack = Stack(settings_in(temporary_home()), with_seed=False)
    home = stack.settings.home
    for folder in ("postgres.new/base", "postgres/base"):
        (home / folder).mkdir(parents=True)
        (home / folder / "half-made").write_text("x")
    bystander = psutil.Process(os.getpid())
    stale = {"pid": bystander.pid, "arguments": ["another program's"]}
    stack.db.run_dir.mkdir()
    stack.db.pid_file.write_text(json.dumps(stale))
    stack.gateway.pid_file.write_text('{"pid": 99')
    stack.functions.pid_file.write_text("{}")
    stack.realtime.pid_file.write_text('{"pid": 2147483000, "arguments": []}')
    try:
        stack.up()
        assert stack.dead_parts() == []
        assert not (home / "postgres.new").exists()
        assert not (home / "postgres" / "base" / "half-made").exists()
        user = await sign_up(stack)
        sent = (await user.send("Kept")).json()

        stack.down()
        assert processes_left_in(stack.settings) == []
        for part in stack.parts:
            part.pid_file.write_text(json.dumps(stale))
        (home / "postgres.new").mkdir()
        stack.up()
        loaded = (await user.load(sent["conversationId"])).json()
        assert loaded["messages"] == [sent["userMessage"], sent["message"]]
        await user.functions.aclose()
    finally:
        stack.down()
        shutil.rmtree(home, ignore_errors=True)
    assert bystander.is_running()
