"""The service is killed while the AI SDK's chat waits or reads: one turn, and one whole reply."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from local.stack import Stack
from tests.faults.test_crash_points import QUICK, SAID, ending_of
from tests.support.ai_sdk import AiSdkChat, ai_sdk_chat
from tests.support.process import FunctionsProcess, functions_process
from tests.support.stack import free_ports
from tests.support.users import User


@asynccontextmanager
async def chat_whose_service_died(
    stack: Stack, folder: Path, user: User, chat_id: str, point: str
) -> AsyncIterator[tuple[AiSdkChat, FunctionsProcess]]:
    """Send a message to a service that is killed at a point, and start another in its place."""
    port = str(free_ports(1)[0])
    slow = {"OFFLINE_DELAY": "0.02"} if point == "mid_model" else {}
    async with ai_sdk_chat(f"http://127.0.0.1:{port}", user.token, chat_id) as chat:
        doomed = functions_process(stack, folder, **QUICK, **slow, CRASH_POINT=point, PORT=port)
        async with doomed as process:
            await chat.do("send", {"text": SAID})
            lost = await chat.do("settled")
            code = await asyncio.wait_for(process.process.wait(), timeout=20)
        assert (lost.status, code) == ("error", -signal.SIGKILL)
        async with functions_process(stack, folder, **QUICK, PORT=port) as healthy:
            yield chat, healthy


@pytest.mark.promise("safe retry", red="a retry that follows a turn and never takes it over")
@pytest.mark.parametrize("point", ["before_begin", "after_begin", "after_model"])
async def test_who_tries_again_gets_the_one_whole_reply(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection, tmp_path: Path, point: str
) -> None:
    """`regenerate` of what has no reply yet takes its turn over, or sends what never arrived."""
    chat_id = str(uuid4())
    async with chat_whose_service_died(stack, tmp_path, user, chat_id, point) as (chat, _):
        await chat.do("regenerate")
        shown = await chat.do("settled")
        loaded = await chat.do("open", chat_id)
    await other_user.send(SAID)
    assert (shown.status, shown.error) == ("ready", None)
    assert shown.texts == loaded.texts
    assert ending_of(db, user) == ending_of(db, other_user)


@pytest.mark.promise("safe retry", red="a stream that settles a turn whose worker is gone")
@pytest.mark.parametrize("point", ["mid_model", "mid_stream"])
async def test_who_resumes_gets_the_one_whole_reply(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection, tmp_path: Path, point: str
) -> None:
    """Of two tabs at once; what the first service had written is not shown twice."""
    chat_id = str(uuid4())
    async with (
        chat_whose_service_died(stack, tmp_path, user, chat_id, point) as (chat, healthy),
        ai_sdk_chat(healthy.url, user.token, str(uuid4())) as tab,
    ):
        await tab.do("rename", chat_id)
        for page in (chat, tab):
            await page.do("resume")
        shown = [await page.do("settled") for page in (chat, tab)]
        loaded = await chat.do("open", chat_id)
    await other_user.send(SAID)
    assert [(page.status, page.error) for page in shown] == [("ready", None)] * 2
    assert [page.texts[-1] for page in shown] == [loaded.texts[1]] * 2
    assert ending_of(db, user) == ending_of(db, other_user)
