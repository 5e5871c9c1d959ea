"""A program with the service key that writes turns over HTTP, as docs/turns.md has it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.stack import Stack
from tests.support.users import User, functions_client


class Writer:
    """A program with the service key, which writes turns of one user."""

    def __init__(self, http: httpx.AsyncClient, user: User) -> None:
        self.http = http
        self.user = user

    async def post(self, path: str, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {} if key is None else {"idempotency-key": key}
        body = {"userId": self.user.id, **body}
        return await self.http.post(path, json=body, headers=headers)

    async def begin(self, key: str | None = None, **body: Any) -> dict[str, Any]:
        asked = body if "regenerates" in body else {"request": "Hello", **body}
        answer = await self.post("/turns", key or uuid4().hex, **asked)
        assert answer.status_code == 200, answer.text
        begun: dict[str, Any] = answer.json()
        return begun

    async def step(self, turn: dict[str, Any], step: str, **body: Any) -> httpx.Response:
        path = f"/turns/{turn['turnId']}/{step}"
        return await self.post(path, **{"attempt": turn["attempt"], **body})


@pytest.fixture
async def writer(stack: Stack, user: User) -> AsyncIterator[Writer]:
    environment = stack.settings.environment()
    key = environment["SUPABASE_SECRET_KEY"]
    async with functions_client(environment["SUPABASE_URL"], apikey=key) as http:
        yield Writer(http, user)
