"""Private topics and tokens: the policies decide, and go on deciding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.support.realtime_stack import SECRET_KEY, Owner, token_for

pytestmark = pytest.mark.promise("isolation")

if TYPE_CHECKING:
    from tests.support.realtime_stack import RealtimeStack

pytest_plugins = ["tests.support.realtime_plugin"]

VERSIONS = pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])


@pytest.mark.parametrize("owns_it", [True, False])
async def test_join_asks_the_policy(realtime: RealtimeStack, owner: Owner, owns_it: bool) -> None:
    """The owner of a topic is let in; another user gets the reason why not."""
    token = owner.token if owns_it else Owner().token
    async with realtime.client() as client:
        reply = await client.join(owner.open_topic, token=token, private=True)
    ok: dict[str, Any] = {"status": "ok", "response": {"postgres_changes": []}}
    refused: dict[str, Any] = {
        "status": "error",
        "response": {
            "reason": "Unauthorized: You do not have permissions to read from this "
            f"Channel topic: {owner.open_topic}"
        },
    }
    assert {**reply, "ref": "1"} == {**(ok if owns_it else refused), "ref": "1"}


async def test_join_without_a_token_is_judged_by_the_key(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """The publishable key is anon and stays out; the secret one is service_role and gets in."""
    async with realtime.client() as anonymous, realtime.client(SECRET_KEY) as service:
        refused = await anonymous.join(owner.open_topic, private=True)
        admitted = await service.join(owner.open_topic, private="true", token="sb_publishable_x")
    assert refused["response"]["reason"].startswith("Unauthorized: ")
    assert admitted["status"] == "ok"


async def test_a_role_that_does_not_exist_may_nothing(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A well-signed token of an unknown role is refused, not run as superuser."""
    async with realtime.client() as client:
        token = token_for(owner.id, role="nobody_here")
        reply = await client.join(owner.open_topic, token=token, private=True)
    assert reply["response"]["reason"].startswith("Unauthorized: ")


async def test_a_send_that_the_policy_denies_is_dropped_without_an_answer(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """What a member that may only listen sends is neither delivered nor acknowledged."""
    topic = owner.quiet_topic
    async with realtime.client() as member, realtime.client(SECRET_KEY) as service:
        await member.join(topic, token=owner.token, private=True, broadcast={"ack": True})
        await service.join(topic, private=True)
        await member.broadcast(topic, "forged", {})
        assert await member.settle() == []
        await service.broadcast(topic, "genuine", {})
        assert (await member.next_broadcast())["event"] == "genuine"
        assert await service.settle() == []


async def test_a_send_that_the_policy_allows_is_delivered(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """What a member may send is delivered and acknowledged."""
    topic = owner.open_topic
    async with realtime.client() as member, realtime.client(SECRET_KEY) as service:
        await member.join(topic, token=owner.token, private=True, broadcast={"ack": True})
        await service.join(topic, private=True)
        ref = await member.broadcast(topic, "said", {"n": 1})
        assert (await member.reply_to(ref))["status"] == "ok"
        assert (await service.next_broadcast())["payload"] == {"n": 1}


async def test_asking_leaves_no_row_behind(realtime: RealtimeStack, owner: Owner) -> None:
    """The probes of joins and sends are rolled back."""
    async with realtime.client() as client:
        await client.join(owner.open_topic, token=owner.token, private=True)
        await client.broadcast(owner.open_topic, "said", {})
        await client.settle()
    with psycopg.connect(realtime.postgres.url()) as connection:
        rows = connection.execute(
            "select 1 from realtime.messages where topic = %s", (owner.open_topic,)
        ).fetchall()
    assert rows == []


@VERSIONS
async def test_a_new_token_of_somebody_else_ends_the_membership(
    realtime: RealtimeStack, owner: Owner, version: str
) -> None:
    """A changed token is judged again: a system error, then the close with the join's ref."""
    topic = owner.open_topic
    async with realtime.client(version=version) as member, realtime.client(SECRET_KEY) as service:
        joined = await member.join(topic, token=owner.token, private=True)
        await service.join(topic, private=True, broadcast={"ack": True})
        await member.send(f"realtime:{topic}", "access_token", {"access_token": Owner().token})
        system = (await member.next_event("system"))["payload"]
        assert (system["extension"], system["status"], system["channel"]) == (
            "system",
            "error",
            topic,
        )
        assert (await member.next_event("phx_close"))["ref"] == joined["ref"]
        await service.reply_to(await service.broadcast(topic, "secret", {}))
        assert await member.settle() == []


@pytest.mark.parametrize("payload", [{"access_token": None}, {"access_token": "sb_secret_x"}, {}])
async def test_a_refresh_that_says_nothing_changes_nothing(
    realtime: RealtimeStack, owner: Owner, payload: dict[str, Any]
) -> None:
    """Null and opaque keys are no new token, and a fresh one of the same user keeps it in."""
    topic = owner.open_topic
    async with realtime.client() as member:
        await member.join(topic, token=owner.token, private=True, broadcast={"ack": True})
        await member.send(f"realtime:{topic}", "access_token", payload)
        fresh = token_for(owner.id, seconds=1200)
        await member.send(f"realtime:{topic}", "access_token", {"access_token": fresh})
        ref = await member.broadcast(topic, "said", {})
        assert (await member.reply_to(ref))["status"] == "ok"


async def test_a_new_token_has_its_own_permission_to_send(
    realtime: RealtimeStack, owner: Owner
) -> None:
    """A permission to send ends with the token that had it."""
    topic = owner.open_topic
    async with realtime.client() as member:
        await member.join(topic, token=owner.token, private=True, broadcast={"ack": True})
        ref = await member.broadcast(topic, "said", {})
        assert (await member.reply_to(ref))["status"] == "ok"
        muted = {"access_token": token_for(owner.id, muted=True)}
        await member.send(f"realtime:{topic}", "access_token", muted)
        await member.broadcast(topic, "said", {})
        assert await member.settle() == []


@pytest.mark.parametrize("private", [True, False])
async def test_an_expired_token_ends_the_membership(
    realtime: RealtimeStack, owner: Owner, private: bool
) -> None:
    """When the token's time is up the member is put out, without a word from it."""
    async with realtime.client() as member:
        token = token_for(owner.id, seconds=3)
        assert (await member.join(owner.open_topic, token=token, private=private))["status"] == "ok"
        message = (await member.next_event("system"))["payload"]["message"]
        assert message.startswith("Token has expired")
        assert (await member.next_event("phx_close"))["topic"] == f"realtime:{owner.open_topic}"
