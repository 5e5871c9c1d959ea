"""Several stores behind one bundle, on two real servers: each user's rows are in one of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from shared import doctor
from shared.persistence.stores import _AS_ONE, LISTINGS
from tests.support.postgres import Server
from tests.support.sql_calls import Caller, expire
from tests.support.two_stores import (
    NAMES,
    Bundle,
    bundle_on,
    make_user_at,
    settings_of,
    two_servers,
)

pytestmark = pytest.mark.promise("stores", red="every call goes to the first store")

# What is asked of a store by itself, and what is taken apart by its users.
OF_ONE_STORE = {"ping", "check_platform", "check_invariants"}
OF_ITS_OWN = {"extend_turns", "delete_retention_policy"}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Two servers with the schema."""
    with two_servers() as running:
        yield running


@pytest.fixture
async def bundle(servers: dict[str, Server]) -> AsyncIterator[Bundle]:
    """A bundle in front of both."""
    async with bundle_on(servers) as running:
        yield running


@pytest.fixture
def users(servers: dict[str, Server]) -> dict[str, UUID]:
    """A user at each."""
    return {name: make_user_at(servers, name) for name in NAMES}


@asynccontextmanager
async def away(server: Server) -> AsyncIterator[None]:
    """Kill a server, and start it again afterwards."""
    server.kill()
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


def messages_at(server: Server, user_id: UUID) -> int:
    """Count a user's messages in one store."""
    with psycopg.connect(server.url()) as db:
        query = "select count(*) from messages where user_id = %s"
        (row,) = db.execute(query, (user_id,)).fetchall()
    return int(row[0])


async def chat_of(bundle: Bundle, user_id: UUID, request: str = "A heron") -> str:
    """Take a turn in a new conversation, and return that."""
    turn = await bundle.call(user_id, "/mega-mind", request=request)
    assert turn.status_code == 200, turn.text
    return str(turn.json()["conversationId"])


def test_each_function_that_names_no_user_is_asked_of_all_stores_in_its_own_way(
    servers: dict[str, Server],
) -> None:
    """A new one has to be put into the table before it can be called."""
    with psycopg.connect(servers["one"].url()) as db:
        rows = db.execute(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace"
            " and prokind = 'f' and prorettype <> 'trigger'::regtype"
            " and (proargnames[1] is distinct from 'user_id' or pronargdefaults = pronargs)"
        ).fetchall()
    nobodys = {name for (name,) in rows}
    assert nobodys == OF_ONE_STORE | OF_ITS_OWN | LISTINGS.keys() | _AS_ONE.keys()


async def test_a_user_is_in_one_store_with_everything(
    bundle: Bundle, servers: dict[str, Server], users: dict[str, UUID]
) -> None:
    """Turns, pages, lists, search and erasure go there, and nothing of it is in the other."""
    for name, user_id in users.items():
        chat = await chat_of(bundle, user_id)
        page = await bundle.call(user_id, "/load-conversation", conversationId=chat)
        assert len(page.json()["messages"]) == 2
        found = await bundle.call(user_id, "/search-messages", q="heron")
        assert found.json()["hits"] != []
        other = next(server for key, server in servers.items() if key != name)
        assert (messages_at(servers[name], user_id), messages_at(other, user_id)) == (2, 0)
    erased = await bundle.call(users["one"], "/erase-account", confirm="erase")
    assert erased.status_code == 200, erased.text
    counts = [messages_at(servers[name], user_id) for name, user_id in users.items()]
    assert counts == [0, 2]


async def test_what_is_about_everybody_is_about_all_stores(
    bundle: Bundle, servers: dict[str, Server], users: dict[str, UUID]
) -> None:
    """Sweeps, usage, policies and holds."""
    for name, user_id in users.items():
        with psycopg.connect(servers[name].url(), autocommit=True) as db:
            expire(db, Caller(db).begin(str(user_id)))
        hold = await bundle.call(None, "/legal-holds", userId=str(user_id), reason="A case")
        assert hold.status_code == 201, hold.text
    swept = await bundle.call(None, "/sweep-turns")
    assert swept.json()["settled"] >= 2
    assert [messages_at(servers[name], users[name]) for name in NAMES] == [2, 2]
    now = datetime.now(UTC)
    range_ = {"from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}
    seen, after = set(), None
    while True:
        body = {**range_, "limit": 1} | ({"after": after} if after else {})
        page = (await bundle.call(None, "/project-usage", **body)).json()
        seen |= {UUID(user["userId"]) for user in page["users"]}
        if not page["more"]:
            break
        after = page["users"][-1]["userId"]
    assert seen >= set(users.values())
    holds = await bundle.http.get("/legal-holds", headers={"apikey": "sb_secret_unit"})
    assert {UUID(hold["user_id"]) for hold in holds.json()["holds"]} >= set(users.values())


async def test_a_policy_of_everybody_is_set_and_removed_in_all_stores(
    bundle: Bundle, servers: dict[str, Server]
) -> None:
    """It is one policy to whoever reads it."""
    service = {"apikey": "sb_secret_unit"}
    made = await bundle.http.put(
        "/retention-policies", json={"archiveAfterDays": 30}, headers=service
    )
    assert made.status_code == 200, made.text
    listed = (await bundle.http.get("/retention-policies", headers=service)).json()["policies"]
    assert len([policy for policy in listed if policy["user_id"] is None]) == 1
    assert policies(servers) == [1, 1]
    gone = await bundle.http.delete(
        f"/retention-policies/{made.json()['policy']['id']}", headers=service
    )
    assert gone.status_code == 200, gone.text
    assert policies(servers) == [0, 0]
    again = await bundle.http.delete(
        f"/retention-policies/{made.json()['policy']['id']}", headers=service
    )
    assert again.status_code == 404


def policies(servers: dict[str, Server]) -> list[int]:
    """Count everybody's policies in each store."""
    counts = []
    for server in servers.values():
        with psycopg.connect(server.url()) as db:
            (row,) = db.execute(
                "select count(*) from private.retention_policies where user_id is null"
            ).fetchall()
            counts.append(row[0])
    return counts


async def test_a_store_that_is_away_stops_its_own_users_alone(
    servers: dict[str, Server], users: dict[str, UUID]
) -> None:
    """Health says which; sweeps go on; its users go on when it is back."""
    async with bundle_on(servers) as bundle:
        chat = await chat_of(bundle, users["two"])
        async with away(servers["two"]):
            refused = await bundle.call(users["two"], "/load-conversation", conversationId=chat)
            assert refused.status_code == 503
            await chat_of(bundle, users["one"])
            health = (await bundle.http.get("/health?deep=1")).json()
            assert health["stores"] == {"one": "ok", "two": "away"}
            assert health["invariants"]["seq_gap"] == 0
            assert (await bundle.call(None, "/sweep-turns")).status_code == 200
        page = await bundle.call(users["two"], "/load-conversation", conversationId=chat)
        assert len(page.json()["messages"]) == 2


async def test_the_doctor_looks_into_each_store(
    servers: dict[str, Server], users: dict[str, UUID], bundle: Bundle
) -> None:
    """What is broken in either is found, and mended there."""
    for name, user_id in users.items():
        chat = await chat_of(bundle, user_id)
        servers[name].execute(f"update conversations set last_seq = 9 where id = '{chat}'")
    options = doctor._parser().parse_args([])
    found = await doctor._examine(settings_of(servers), options)
    assert found.failed() == ["last_seq_wrong"]
    assert len(found.broken()["last_seq_wrong"]) == 2
    options = doctor._parser().parse_args(["--repair"])
    report = await doctor._examine(settings_of(servers), options)
    assert report.failed() == []
    assert report.repaired == {"last_seq_wrong": 2}
