"""Auth of the local stack, as hosted has it: admin calls, bans, pages of any origin."""

import uuid
from typing import Any

import httpx
import psycopg
import pytest
from supabase import AsyncClient, AuthApiError, acreate_client

from local.stack import Stack
from tests.support.users import User, functions_client, sign_up

PASSWORD = "correct-horse-battery"


async def client_with(stack: Stack, key: str) -> AsyncClient:
    """Return a supabase-py client of the stack."""
    return await acreate_client(stack.settings.url, key)


async def test_the_secret_key_creates_lists_changes_bans_and_deletes_users(stack: Stack) -> None:
    """By supabase-py's own admin calls; a banned user can't sign in, a deleted one is gone."""
    admin = (await client_with(stack, stack.settings.keys.secret)).auth.admin
    email = f"{uuid.uuid4().hex}@example.com"
    credentials: Any = {"email": email, "password": PASSWORD}
    confirmed: Any = {**credentials, "email_confirm": True}
    made = (await admin.create_user(confirmed)).user
    auth = (await client_with(stack, stack.settings.keys.publishable)).auth
    session = (await auth.sign_in_with_password(credentials)).session
    assert session is not None
    async with functions_client(
        stack.settings.url, authorization=f"Bearer {session.access_token}"
    ) as functions:
        turn = await functions.post("/mega-mind", json={"request": "Hello"})
    assert turn.status_code == 200
    await admin.update_user_by_id(made.id, {"user_metadata": {"name": "Ada"}})
    assert (await admin.get_user_by_id(made.id)).user.user_metadata["name"] == "Ada"
    assert made.id in {user.id for user in await admin.list_users()}
    await admin.update_user_by_id(made.id, {"ban_duration": "24h"})
    with pytest.raises(AuthApiError):
        await auth.sign_in_with_password(credentials)
    with pytest.raises(AuthApiError, match="already been registered"):
        await admin.create_user(credentials)
    await admin.delete_user(made.id)
    with pytest.raises(AuthApiError, match="not found"):
        await admin.get_user_by_id(made.id)


async def erase_as_service(service: httpx.AsyncClient, user: User) -> None:
    """Erase a user under one key, until the receipt is finished."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    receipt: dict[str, Any] = {"erasedAt": None}
    while not receipt["erasedAt"]:
        body = {"userId": user.id, "confirm": "erase"}
        receipt = (await service.post("/erase-account", json=body, headers=key)).json()


def rows_of(db: psycopg.Connection, user: User) -> dict[str, int]:
    """Return how many rows each table with users in it has of one."""
    tables = db.execute(
        "select format('%I.%I', n.nspname, c.relname) from pg_class as c"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " join pg_attribute as a on a.attrelid = c.oid and a.attname = 'user_id'"
        " where c.relkind = 'r' and n.nspname in ('public', 'private', 'search')"
    ).fetchall()
    counts = {}
    for (table,) in tables:
        query = f"select count(*) from {table} where user_id::text = %s"
        counts[table] = (db.execute(query.encode(), (user.id,)).fetchone() or (0,))[0]
    return {table: count for table, count in counts.items() if count}


@pytest.mark.promise("erasure", red="a deleted account taken for an outage")
async def test_somebody_is_removed_by_ban_erase_delete(
    stack: Stack, db: psycopg.Connection, service: httpx.AsyncClient
) -> None:
    """No new token after the first, nothing but counts after the second, a receipt at the end."""
    leaving = await sign_up(stack)
    admin = (await client_with(stack, stack.settings.keys.secret)).auth.admin
    await admin.update_user_by_id(leaving.id, {"ban_duration": "876000h"})
    with pytest.raises(AuthApiError):
        await leaving.supabase()
    still = await leaving.send("With the token that is out")
    await erase_as_service(service, leaving)
    erased = rows_of(db, leaving)
    await admin.delete_user(leaving.id)
    late = [await leaving.send("After", persistMessages=stored) for stored in (True, False)]
    await leaving.functions.aclose()
    assert still.status_code == 200
    assert set(erased) == {"private.erasure_receipts", "private.turn_usage"}
    assert [answer.status_code for answer in late] == [401, 401]
    assert rows_of(db, leaving) == {"private.erasure_receipts": 1}


@pytest.mark.promise("isolation", red="admin calls answered for any key")
async def test_nobody_else_may_call_them(stack: Stack, user: User) -> None:
    """Neither the publishable key nor a user's token, nor both together."""
    publishable = stack.settings.keys.publishable
    shown: list[dict[str, str]] = [
        {},
        {"apikey": publishable},
        {"authorization": f"Bearer {user.token}"},
        {"apikey": publishable, "authorization": f"Bearer {user.token}"},
        {"apikey": publishable, "authorization": f"Bearer {stack.settings.keys.secret}"},
    ]
    async with httpx.AsyncClient(base_url=stack.settings.url) as client:
        answers = [await client.get("/auth/v1/admin/users", headers=headers) for headers in shown]
    assert [answer.status_code for answer in answers] == [403] * len(shown)


async def test_a_page_of_another_origin_may_sign_up(stack: Stack) -> None:
    """The preflight allows what supabase-js sends, and the response may be read."""
    wanted = "apikey,authorization,content-type,x-client-info,x-supabase-api-version"
    preflight = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": wanted,
    }
    async with httpx.AsyncClient(base_url=stack.settings.url) as client:
        allowed = await client.options("/auth/v1/signup", headers=preflight)
        signed_up = await client.post(
            "/auth/v1/signup",
            headers={"origin": "https://app.example", "apikey": stack.settings.keys.publishable},
            json={"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD},
        )
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-headers"] == wanted
    assert "POST" in allowed.headers["access-control-allow-methods"]
    for answer in (allowed, signed_up):
        assert answer.headers["access-control-allow-origin"] == "*"
    assert signed_up.status_code == 200
