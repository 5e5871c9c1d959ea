"""The parts of the local stack on a Postgres that is there, for a project under another schema."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from local import database
from local.ports import Ports
from local.settings import LocalSettings
from local.stack import Stack
from tests.support.postgres import Server
from tests.support.stack import free_ports, temporary_home


@dataclass(frozen=True)
class ProjectStack:
    """Auth and the Data API of a project; Realtime and the service once it has our schema."""

    stack: Stack
    schema: str

    @classmethod
    @contextlib.contextmanager
    def on(cls, server: Server, schema: str) -> Iterator["ProjectStack"]:
        """Start what every project has."""
        home = temporary_home()
        api, functions, realtime = free_ports(3)
        ports = Ports(api=api, db=server.port, functions=functions, realtime=realtime)
        settings = LocalSettings(home, home / ".env.local", ports)
        stack = Stack(settings, with_seed=False, environment={"DATABASE_SCHEMA": schema})
        try:
            stack._install()
            stack._start(stack.gateway)
            database.shape(settings.db_url)
            yield cls(stack, schema)
        finally:
            for part in (stack.functions, stack.realtime, stack.gateway):
                part.stop()
            shutil.rmtree(home, ignore_errors=True)

    def serve(self) -> None:
        """Start Realtime and the service."""
        self.stack._start(self.stack.realtime, self.stack.functions)
        self.stack._require_health()

    @property
    def url(self) -> str:
        """The project's URL."""
        return self.stack.settings.url

    @property
    def db_url(self) -> str:
        """Its database, as a superuser."""
        return self.stack.settings.db_url

    @property
    def publishable_key(self) -> str:
        """The public API key."""
        return self.stack.settings.keys.publishable

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the service."""
        return {**self.stack.settings.environment(), "DATABASE_SCHEMA": self.schema}

    def headers(self, token: str) -> dict[str, str]:
        """Return what a signed-in user sends."""
        return {"apikey": self.publishable_key, "Authorization": f"Bearer {token}"}

    def sign_up(self) -> str:
        """Make a user and return its token."""
        body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct-horse-battery"}
        answer = httpx.post(
            f"{self.url}/auth/v1/signup", json=body, headers={"apikey": self.publishable_key}
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])
