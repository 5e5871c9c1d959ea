"""Real users of a running stack, signed up over its Auth API."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.types.json import Jsonb
from supabase import AsyncClient, acreate_client

from local.stack import Stack
from tests.support.tokens import claims_for, signed

PASSWORD = "correct-horse-battery"
PASSWORD_HASH = "$2b$10$wcmlLblpizXkXJo2c8RXquYT6XUc2O2qWMSs8c.xK.xvsFKsZK6ha"
ACCOUNT = """
insert into auth.users (
    id, aud, role, email, encrypted_password, email_confirmed_at, created_at, updated_at,
    is_anonymous, is_sso_user, raw_app_meta_data, raw_user_meta_data
)
values (
    %(id)s, 'authenticated', 'authenticated', %(email)s, %(hash)s, now(), now(), now(),
    false, false, '{"provider": "email", "providers": ["email"]}', %(about)s
)
"""


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
    base_url = f"{url}/functions/v1"
    return httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60)


async def sign_up(stack: Stack, *, email: str | None = None) -> User:
    """Sign a new user up, over Auth: for what is about that, or about the road there."""
    environment = stack.settings.environment()
    email = email or f"{uuid.uuid4().hex}@example.com"
    async with httpx.AsyncClient(base_url=environment["SUPABASE_URL"], timeout=30) as http:
        answer = await http.post(
            "/auth/v1/signup",
            headers={"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]},
            json={"email": email, "password": PASSWORD},
        )
    answer.raise_for_status()
    session = answer.json()
    return _user(session["user"]["id"], email, session["access_token"], environment)


async def make_user(stack: Stack) -> User:
    """Make a user as a sign-up leaves one, with a token as Auth gives it.

    A sign-up hashes a password, which takes the gateway as long as a dozen requests.
    """
    environment = stack.settings.environment()
    user_id = str(uuid.uuid4())
    email = f"{uuid.uuid4().hex}@example.com"
    about = {"sub": user_id, "email": email, "email_verified": True, "phone_verified": False}
    values = {"id": user_id, "email": email, "hash": PASSWORD_HASH, "about": Jsonb(about)}
    async with await psycopg.AsyncConnection.connect(stack.settings.db_url) as db:
        await db.execute(ACCOUNT.encode(), values)
    token = signed(claims_for(user_id, email=email), environment["SUPABASE_JWT_SECRET"])
    return _user(user_id, email, token, environment)


def _user(user_id: str, email: str, token: str, environment: dict[str, str]) -> User:
    functions = functions_client(environment["SUPABASE_URL"], authorization=f"Bearer {token}")
    return User(user_id, email, token, environment, functions)
