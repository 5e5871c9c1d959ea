"""AWS Lambda: the template, and a process that is frozen whenever it has no request.

Lambda itself can't run here. What it does to a process is done with signals: SIGSTOP as soon as an
answer has ended, SIGCONT when the next request comes.
"""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from shared.config import Settings, load_settings
from tests.support.process import begin_and_leave, functions_process
from tests.support.proxy import passes, proxy_to, replies
from tests.support.users import User

TEMPLATE = ROOT / "deploy" / "lambda" / "template.yaml"
ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "bundle"}
# A lease of five seconds, so that a test sees it end.
SHORT_LEASE = {
    "DRAIN_SECONDS": "1",
    "HEARTBEAT_SECONDS": "0.1",
    "STORE_TIMEOUT": "2",
    "LEASE_SECONDS": "5",
    "REALTIME_TIMEOUT": "0.1",
}


@pytest.fixture(scope="module")
def function() -> dict[str, Any]:
    """The properties of the template's function."""
    from cfnlint.decode import decode  # slow to import, for each process that collects tests

    template, _ = decode(str(TEMPLATE))
    properties: dict[str, Any] = template["Resources"]["Bundle"]["Properties"]
    return properties


def settings_of(function: dict[str, Any]) -> Settings:
    """Return the settings that the template's variables make."""
    given = {
        name.lower(): value
        for name, value in function["Environment"]["Variables"].items()
        if name.lower() in Settings.model_fields and isinstance(value, str)
    }
    project = {
        "supabase_url": "https://project.example",
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
        "SUPABASE_SECRET_KEY": "sb_secret_x",
    }
    return load_settings(_env_file=None, **given, **project)


@pytest.mark.promise("deployment")
def test_cfn_lint_finds_nothing_and_would(tmp_path: Path) -> None:
    """In ours; in a copy with a name that leads nowhere and a schedule that is none, it does."""
    bad = tmp_path / "bad.yaml"
    text = TEMPLATE.read_text().replace("rate(1 minute)", "rate(1 minutes)")
    bad.write_text(text.replace("!GetAtt SweepDestination.Arn", "!GetAtt Nowhere.Arn"))
    program = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [program, "--format", "parseable", TEMPLATE, bad],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = done.stdout.strip().splitlines()
    assert [line for line in found if not line.startswith(str(bad))] == []
    assert all(any(word in line for line in found) for word in ("E1010", "E3027"))


def test_the_function_streams(function: dict[str, Any]) -> None:
    """The URL and the adapter have to agree."""
    variables = function["Environment"]["Variables"]
    assert function["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"
    assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"


@pytest.mark.promise("deployment")
def test_every_turn_ends_before_lambda_ends_the_function(function: dict[str, Any]) -> None:
    """An engine at its limit, and a store that stays away as long as may be, fit in."""
    settings = settings_of(function)
    calls = 3 * settings.store_timeout  # begin, a last attempt to complete, and one in between
    assert function["Timeout"] <= 900
    assert settings.engine_timeout + settings.store_retry_seconds + calls < function["Timeout"]
    assert settings.engine_timeout + settings.lease_seconds < function["Timeout"]
    assert settings.drain_seconds < 2
    assert settings.is_frozen_between_requests


def test_whatever_an_event_cannot_hold_is_refused_by_us(function: dict[str, Any]) -> None:
    """A body of bytes is a third longer in it; a file to import is one too."""
    settings = settings_of(function)
    for limit in (settings.max_body_bytes, settings.max_import_bytes):
        assert limit * 4 // 3 < 6 * 1024 * 1024


@pytest.mark.promise("shutdown", red="the answer is not held back")
@pytest.mark.parametrize(
    ("host", "left"), [(ON_LAMBDA, "completed"), ({}, "running")], ids=["lambda", "anywhere else"]
)
async def test_an_answer_ends_only_when_its_turn_has(
    stack: Stack,
    user: User,
    db: psycopg.Connection,
    tmp_path: Path,
    host: dict[str, str],
    left: str,
) -> None:
    """The store is away for longer than the answer would wait: frozen behind it, nothing is lost.

    Anywhere else the answer doesn't wait, since the process goes on: the negative control.
    """
    async with (
        proxy_to(stack.settings.url) as proxy,
        functions_process(
            stack, tmp_path, SUPABASE_URL=proxy.url, **SHORT_LEASE, **host
        ) as process,
        process.client(user.token) as client,
    ):
        proxy.on("complete_turn", replies(503, b"away"))
        # An answer's head comes when it has waited for the store; its end when the turn has ended.
        async with client.stream("POST", "/mega-mind", json={"request": "Hello"}) as answer:
            if host:
                proxy.on("complete_turn", passes)
            await answer.aread()
        process.process.send_signal(signal.SIGSTOP)
        row = db.execute("select status from turns where user_id = %s", (user.id,)).fetchone()
        process.process.send_signal(signal.SIGCONT)
    assert (answer.status_code, answer.json()["code"]) == (503, "reply_not_stored")
    assert row == (left,)


@pytest.mark.promise("shutdown")
async def test_a_turn_that_was_frozen_is_taken_over_and_never_written_twice(
    stack: Stack, user: User, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Its client left, its process stands still: a load settles it, and it can't wake up in it."""
    slow = {"OFFLINE_DELAY": "0.05"}
    async with functions_process(stack, tmp_path, **slow, **SHORT_LEASE, **ON_LAMBDA) as process:
        turn_id = await begin_and_leave(process, user)
        process.process.send_signal(signal.SIGSTOP)
        row = db.execute(
            "select conversation_id::text from turns where id = %s", (turn_id,)
        ).fetchone()
        assert row is not None
        before = await settled(user, row[0])
        process.process.send_signal(signal.SIGCONT)
        async with process.client(user.token) as client:  # the request that thaws it
            assert (await client.get("/conversations")).status_code == 200
    after = (await user.load(row[0])).json()
    assert [m["role"] for m in before["messages"]] == ["user", "assistant"]
    assert before["messages"][1]["metadata"]["success"] is False
    assert after["messages"] == before["messages"]


async def settled(user: User, conversation_id: str) -> dict[str, Any]:
    """Load a conversation until no turn of it runs any more."""
    while True:
        loaded: dict[str, Any] = (await user.load(conversation_id)).json()
        if loaded["openTurn"] is None:
            return loaded
        await asyncio.sleep(0.2)
