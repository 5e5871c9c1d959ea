"""Real users of a running stack, signed up over its Auth API."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
from supabase import AsyncClient, acreate_client

from local.stack import Stack

PASSWORD = "correct-horse-battery"


@dataclass
class User:
    """A signed-up user, with an HTTP client for the functions that carries their token."""

    id: str
    email: str
    token: str
    environment: dict[str, str]
    functions: httpx.AsyncClient

    async def send(self, request: str, *, key: str | None = None, **body: Any) -> httpx.Response:
        """POST mega-mind."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.functions.post(
            "/mega-mind", json={"request": request, **body}, headers=headers
        )

    async def load(self, conversation_id: str, **query: Any) -> httpx.Response:
        """GET load-conversation."""
        return await self.functions.get(
            "/load-conversation", params={"conversationId": conversation_id, **query}
        )

    async def supabase(self) -> AsyncClient:
        """Return a supabase-py client, signed in as this user."""
        client = await acreate_client(
            self.environment["SUPABASE_URL"], self.environment["SUPABASE_PUBLISHABLE_KEY"]
        )
        await client.auth.sign_in_with_password({"email": self.email, "password": PASSWORD})
        return client


def functions_client(url: str, **headers: str) -> httpx.AsyncClient:
    """Return an HTTP client for a stack's functions."""
    return httpx.AsyncClient(base_url=f"{url}/functions/v1", headers=headers, timeout=60)


async def sign_up(stack: Stack) -> User:
    """Sign a new user up."""
    environment = stack.settings.environment()
    email = f"{uuid.uuid4().hex}@example.com"
    async with httpx.AsyncClient(base_url=environment["SUPABASE_URL"], timeout=30) as http:
        answer = await http.post(
            "/auth/v1/signup",
            headers={"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]},
            json={"email": email, "password": PASSWORD},
        )
    answer.raise_for_status()
    session = answer.json()
    token = session["access_token"]
    return User(
        id=session["user"]["id"],
        email=email,
        token=token,
        environment=environment,
        functions=functions_client(environment["SUPABASE_URL"], authorization=f"Bearer {token}"),
    )
