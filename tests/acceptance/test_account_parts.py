"""An account's export of any size comes in parts, and our own import takes each of them."""

import io
import json
import re
import zipfile
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.importing import ZIP, broken
from tests.support.users import User, functions_client

pytestmark = pytest.mark.promise("exports")

CHATS = """
with chats as (
    insert into conversations (user_id, title, last_seq, created_at, updated_at)
    select %(user)s, 'Chat ' || n, %(messages)s, '2026-01-01', '2026-01-02'
    from generate_series(1, %(chats)s) as n
    returning id, user_id
)
insert into messages (conversation_id, user_id, seq, role, content, metadata, created_at)
select id, user_id, k, 'user', %(text)s || k, %(metadata)s,
       '2026-01-01'::timestamptz + k * interval '1 second'
from chats, generate_series(1, %(messages)s) as k
"""


def fill(
    db: psycopg.Connection,
    user: User,
    *,
    chats: int = 1,
    messages: int = 1,
    text: str = "x",
    metadata: str = "{}",
) -> None:
    """Write conversations as an import would."""
    values = {"user": user.id, "chats": chats, "messages": messages, "text": text}
    with db.transaction():
        db.execute("select set_config('message_persistence.is_importing', 'yes', true)")
        db.execute(CHATS, {**values, "metadata": metadata})


async def parts_of(client: httpx.AsyncClient) -> list[tuple[str, bytes]]:
    """Return the parts of an account's export, each with the name of its file."""
    parts: list[tuple[str, bytes]] = []
    query = ""
    while not parts or query:
        answer = await client.get(f"/export-account?{query}")
        assert answer.status_code == 200, answer.text
        name = re.search(r'filename="(.*?)"', answer.headers["content-disposition"])
        assert name is not None
        parts.append((name[1], answer.content))
        following = re.fullmatch(r'<\?(.+)>; rel="next"', answer.headers.get("link", ""))
        query = following[1] if following else ""
    return parts


def manifest_of(part: bytes) -> dict[str, Any]:
    """Return a part's manifest."""
    with zipfile.ZipFile(io.BytesIO(part)) as opened:
        found: dict[str, Any] = json.loads(opened.read("manifest.json"))
        return found


def sums_in(parts: list[tuple[str, bytes]]) -> list[str]:
    """Return the checksums of all conversations."""
    sums = []
    for _, part in parts:
        with zipfile.ZipFile(io.BytesIO(part)) as opened:
            names = [n for n in opened.namelist() if re.fullmatch(r"conv.*\.json", n)]
            sums += [json.loads(opened.read(name))["checksum"]["value"] for name in names]
    return sorted(sums)


@pytest.mark.promise("exports", red="the plan without its bytes")
async def test_a_large_account_comes_in_parts_that_can_be_imported(
    stack: Stack, user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Each within the size of an import, together everything, each conversation in one of them."""
    fill(db, user, chats=40, messages=5, text="long " * 1000)
    fill(db, user, chats=20, messages=0)
    settings = settings_for(stack, max_import_bytes=500_000)
    async with bundle(settings, token=user.token) as client:
        parts = await parts_of(client)
    manifests = [manifest_of(part) for _, part in parts]
    reports = []
    async with bundle(settings, token=other_user.token) as client:
        for _, part in parts:
            answer = await client.post("/import-conversation", content=part, headers=ZIP)
            reports.append(answer.json())
    assert 4 < len(parts) < 15
    assert len({name for name, _ in parts}) == len(parts)
    assert [m["after"] for m in manifests] == [None, *(m["next"] for m in manifests[:-1])]
    assert sum(manifest["counts"]["conversations"] for manifest in manifests) == 60
    assert sum(report["messages"] for report in reports) == 200
    assert sum(len(report["taken"]) for report in reports) == 60
    assert sums_in(parts) == sums_in(await parts_of(other_user.functions))


async def test_a_conversation_larger_than_a_part_is_one_by_itself(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The others are in the parts around it."""
    fill(db, user, chats=3, messages=2)
    fill(db, user, messages=10, text="y" * 100_000)
    settings = settings_for(stack, max_import_bytes=500_000)
    async with bundle(settings, token=user.token) as client:
        counts = [manifest_of(part)["counts"] for _, part in await parts_of(client)]
    assert sum(count["messages"] for count in counts) == 16
    assert [count["conversations"] for count in counts if count["messages"] >= 10] == [1]


@pytest.mark.promise("imports", red="`max_digits` of 16,000")
async def test_whatever_we_write_we_read(
    user: User, other_user: User, db: psycopg.Connection
) -> None:
    """Numbers of 20,000 digits, metadata of nothing but small values."""
    digits = '{"n": ' + "9" * 20_000 + ', "m": 1e-16000}'
    fill(db, user, messages=2, metadata=digits)
    fill(db, user, messages=2, metadata=json.dumps({"empty": [[]] * 20_000}))
    parts = await parts_of(user.functions)
    for _, part in parts:
        answer = await other_user.functions.post("/import-conversation", content=part, headers=ZIP)
        assert answer.json().get("skipped") == [], answer.text[:1000]
    copies = await parts_of(other_user.functions)
    assert sums_in(copies) == sums_in(parts)
    rows = db.execute(
        "select id::text from conversations where user_id = %s", (other_user.id,)
    ).fetchall()
    assert broken(db, [row for (row,) in rows]) == []


async def test_the_service_is_led_on_for_the_same_user(
    stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """The address of the next part names whose it is."""
    fill(db, user, chats=2, messages=3, text="z" * 100_000)
    key = {"apikey": stack.settings.environment()["SUPABASE_SECRET_KEY"]}
    settings = settings_for(stack, max_import_bytes=500_000)
    async with functions_client(stack.settings.url, **key) as service:
        whole = await service.get("/export-account", params={"userId": user.id})
    async with bundle(settings, token="") as client:
        del client.headers["authorization"]
        first = await client.get("/export-account", params={"userId": user.id}, headers=key)
    assert "link" not in whole.headers
    assert re.fullmatch(rf'<\?after=\S+&userId={user.id}>; rel="next"', first.headers["link"])
