"""A stack with an engine that answers at once, and a user of it over HTTP."""

import dataclasses
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import httpx

from bench.database import send_as_on_hosted
from local.stack import Stack
from tests.support.stack import WITHOUT_LIMITS, free_ports, settings_in


@contextmanager
def instant_stack() -> Iterator[Stack]:
    """Run a stack whose functions do only what is ours."""
    home = Path(mkdtemp(prefix="message-persistence-bench-"))
    settings = settings_in(home)
    stack = Stack(settings, with_seed=False, environment=WITHOUT_LIMITS)
    command = [sys.executable, "-m", "bench.instant", str(settings.ports.functions)]
    stack.__dict__["functions"] = dataclasses.replace(stack.functions, command=command)
    try:
        stack.up()
        send_as_on_hosted(stack.settings.db_url)
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def further_process(stack: Stack, *options: str, is_direct: bool = False) -> Iterator[str]:
    """Run another process of the functions, by either road to the store; return its address."""
    port = free_ports(1)[0]
    road = {"SUPABASE_DB_URL": stack.settings.direct_url if is_direct else "off"}
    part = dataclasses.replace(
        stack.functions,
        name=f"functions-{port}",
        environment={**stack.functions.environment, **road},
        command=[sys.executable, "-m", "bench.instant", str(port), *options],
        port=port,
        is_ready=lambda: _answers(port),
    )
    part.begin()
    try:
        part.wait_until_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        part.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


class HttpUser:
    """A signed-up user, who asks the functions and the Data API."""

    def __init__(self, stack: Stack) -> None:
        environment = stack.settings.environment()
        self.public = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
        self.service = {"apikey": environment["SUPABASE_SECRET_KEY"]}
        self.http = httpx.Client(base_url=stack.settings.url, timeout=120)
        account = {"email": f"{uuid.uuid4().hex}@example.com", "password": uuid.uuid4().hex}
        session = self.http.post("/auth/v1/signup", headers=self.public, json=account).json()
        self.id: str = session["user"]["id"]
        self.headers = {"authorization": f"Bearer {session['access_token']}"}
