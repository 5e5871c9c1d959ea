"""The npm package's transport for the AI SDK, in Node, on a real stack."""

import asyncio
import signal
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from local.stack import Stack
from tests.faults.test_crash_points import QUICK
from tests.support.ai_sdk import ai_sdk_chat
from tests.support.bundle import settings_for
from tests.support.engines import ScriptedEngine
from tests.support.fault_turns import COMPLETED, TAKEN_OVER, turns_of
from tests.support.packed import built_transport
from tests.support.process import functions_process
from tests.support.server import served_bundle
from tests.support.stack import free_ports, shared_among_workers
from tests.support.users import User

pytestmark = pytest.mark.timeout(300)

SAID = "Write a Python function that adds two numbers"


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry of the package, built."""
    return built_transport(shared_among_workers(tmp_path_factory))


@pytest.mark.promise("outbox")
async def test_what_is_sent_without_a_network_arrives_once(
    stack: Stack, user: User, db: psycopg.Connection, transport: Path
) -> None:
    """By itself, as soon as there is one; an edit and a reply that is made once more likewise."""
    chat_id, engine = str(uuid4()), ScriptedEngine("Yes.")
    nowhere = "http://127.0.0.1:9/ui-messages"
    async with (
        served_bundle(settings_for(stack), engine=engine) as url,
        ai_sdk_chat(url, user.token, chat_id, transport=transport) as chat,
    ):
        for command, given in (
            ("send", {"text": "One"}),
            ("regenerate", {}),
            ("send", {"text": "Uno", "messageId": None}),
        ):
            await chat.do("use", nowhere)
            if "messageId" in given:
                given["messageId"] = (await chat.do("settled")).messages[0]["id"]
            await chat.do(command, given)
            await chat.do("status", "submitted")
            await chat.do("use", f"{url}/ui-messages")
            shown = await chat.do("settled")
            assert (shown.status, shown.error) == ("ready", None)
        loaded = await chat.do("open", chat_id)
    assert shown.texts == loaded.texts == ["Uno", "Yes."]
    assert turns_of(db, user)[0] == COMPLETED[0]
    assert engine.requests == ["One", "One", "Uno"]


@pytest.mark.promise("safe retry")
async def test_a_reply_whose_service_dies_goes_on_by_itself(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path, transport: Path
) -> None:
    """Killed with -9 in its midst and started again: the page shows one whole reply."""
    chat_id, port = str(uuid4()), str(free_ports(1)[0])
    url = f"http://127.0.0.1:{port}"
    async with ai_sdk_chat(url, user.token, chat_id, transport=transport) as chat:
        async with functions_process(
            stack, tmp_path, **QUICK, CRASH_POINT="mid_stream", PORT=port
        ) as doomed:
            await chat.do("send", {"text": SAID})
            code = await asyncio.wait_for(doomed.process.wait(), timeout=20)
        async with functions_process(stack, tmp_path, **QUICK, PORT=port):
            shown = await chat.do("settled")
            loaded = await chat.do("open", chat_id)
    assert code == -signal.SIGKILL
    assert (shown.status, shown.error) == ("ready", None)
    assert shown.texts == loaded.texts
    assert turns_of(db, user) == TAKEN_OVER
