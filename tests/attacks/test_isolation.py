"""Tenants apart: who may join and send on a conversation's topic, and what a stranger can infer."""

import asyncio
import json
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import httpx
import pytest
from websockets.asyncio.client import connect

from local.stack import Stack
from tests.support.realtime_stack import RawClient
from tests.support.tokens import claims_for, signed
from tests.support.users import User

ACTORS = ("owner", "other", "anon", "expired", "service")
PAIRS = 40
MOST = 1.5  # how far the two medians may lie apart, as a factor
TRIES = 3
BROADCAST = "/realtime/v1/api/broadcast"


@dataclass(frozen=True)
class Gate:
    """The stack's Realtime as each actor comes to it."""

    url: str
    keys: dict[str, str]
    tokens: dict[str, str | None]

    @asynccontextmanager
    async def socket(self, actor: str) -> AsyncIterator[RawClient]:
        """Connect with the key that this actor has."""
        query = urlencode({"apikey": self.keys[actor], "vsn": "2.0.0"})
        address = f"{self.url.replace('http', 'ws')}/realtime/v1/websocket?{query}"
        async with connect(address, max_size=None) as websocket:
            yield RawClient(websocket, "2.0.0")

    async def join(
        self, client: RawClient, actor: str, topic: str, *, private: bool = True
    ) -> dict[str, Any]:
        """Join a topic with the token that this actor has."""
        config = {"private": private, "broadcast": {"ack": True}}
        return await client.join(topic, token=self.tokens[actor], **config)

    async def post(self, actor: str, path: str, content: Any) -> httpx.Response:
        """Broadcast over HTTP."""
        token = self.tokens[actor]
        headers = {"apikey": self.keys[actor]}
        if token:
            headers["authorization"] = f"Bearer {token}"
        async with httpx.AsyncClient(base_url=self.url) as http:
            # With escapes, so that half a surrogate pair can be sent too.
            raw = json.dumps(content).encode()
            headers["content-type"] = "application/json"
            return await http.post(f"{BROADCAST}{path}", content=raw, headers=headers)


@pytest.fixture
def gate(stack: Stack, user: User, other_user: User) -> Gate:
    """The two users, a stranger, an old token of the owner's, and the service."""
    environment = stack.settings.environment()
    publishable = environment["SUPABASE_PUBLISHABLE_KEY"]
    old = claims_for(user.id, exp=int(time.time()) - 60)
    return Gate(
        stack.settings.url,
        dict.fromkeys(ACTORS, publishable) | {"service": environment["SUPABASE_SECRET_KEY"]},
        {
            "owner": user.token,
            "other": other_user.token,
            "anon": None,
            "expired": signed(old, environment["SUPABASE_JWT_SECRET"]),
            "service": None,
        },
    )


@pytest.fixture
async def topic(user: User) -> str:
    """The topic of a conversation of the user's, without a turn whose events could still come."""
    answer = await user.functions.post("/conversations", json={"title": "Quiet"})
    return f"conversation:{answer.json()['conversation']['id']}"


JOINS = {"owner": True, "other": False, "anon": False, "expired": False, "service": True}


@pytest.mark.promise("isolation", red="the topic policy with `or exists` for `and exists`")
@pytest.mark.parametrize("actor", ACTORS)
async def test_only_the_owner_and_the_service_join_the_private_topic(
    gate: Gate, topic: str, actor: str
) -> None:
    """A refusal says no more than that it is one."""
    async with gate.socket(actor) as client:
        reply = await gate.join(client, actor, topic)
    assert (reply["status"] == "ok") == JOINS[actor]
    if actor in {"other", "anon"}:
        assert reply["response"]["reason"].startswith("Unauthorized: ")


@pytest.mark.promise("no oracle")
async def test_a_topic_of_somebody_else_and_of_nobody_are_refused_alike(
    gate: Gate, topic: str
) -> None:
    """The two refusals differ in nothing but the name that was asked for."""
    nobodys = f"conversation:{uuid.uuid4()}"
    async with gate.socket("other") as client:
        foreign = await gate.join(client, "other", topic)
        missing = await gate.join(client, "other", nobodys)
    refusals = [json.dumps(reply["response"]) for reply in (foreign, missing)]
    assert refusals[0].replace(topic, "T") == refusals[1].replace(nobodys, "T")


@pytest.mark.promise("isolation", red="an insert policy on `realtime.messages`")
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("way", ["socket", "batch", "single"])
async def test_no_client_can_send_on_the_private_topic(
    gate: Gate, topic: str, actor: str, way: str
) -> None:
    """Not even the owner, by any of three ways; the service is, by each."""
    async with gate.socket("owner") as listener, gate.socket(actor) as sender:
        assert (await gate.join(listener, "owner", topic))["status"] == "ok"
        if way == "socket":
            await gate.join(sender, actor, topic)
            await sender.broadcast(topic, "forged", {"by": actor})
            await sender.settle()
        elif way == "batch":
            one = {"topic": topic, "event": "forged", "payload": {"by": actor}, "private": True}
            await gate.post(actor, "", {"messages": [one]})
        else:
            await gate.post(actor, f"/{quote(topic)}/events/forged?private=true", {"by": actor})
        await send_as_service(gate, topic, "last")
        received = [await listener.next_broadcast()]
        while received[-1]["event"] != "last":
            received.append(await listener.next_broadcast())
    assert [event["event"] for event in received] == (
        ["forged", "last"] if actor == "service" else ["last"]
    )


async def send_as_service(gate: Gate, topic: str, event: str) -> None:
    """Send on the private topic as the backend does."""
    one = {"topic": topic, "event": event, "payload": {}, "private": True}
    assert (await gate.post("service", "", {"messages": [one]})).status_code == 202


@pytest.mark.promise("isolation")
@pytest.mark.parametrize("actor", ["owner", "other", "anon", "service"])
async def test_the_public_namesake_receives_nothing_of_the_private_topic(
    gate: Gate, user: User, topic: str, actor: str
) -> None:
    """A whole turn goes by, with events for the owner on the private topic, and none here."""
    conversation_id = topic.removeprefix("conversation:")
    async with gate.socket("owner") as owner, gate.socket(actor) as client:
        await gate.join(owner, "owner", topic)
        assert (await gate.join(client, actor, topic, private=False))["status"] == "ok"
        assert (await user.send("Secret", conversationId=conversation_id)).status_code == 200
        received = [await owner.next_broadcast()]
        while received[-1]["payload"].get("status") != "idle":
            received.append(await owner.next_broadcast())
        await send_as_service(gate, topic, "last")
        await owner.wait_for(lambda frame: frame["payload"].get("event") == "last")
        # What is sent publicly now comes behind all that could have come before.
        public = {"topic": topic, "event": "public", "payload": {}, "private": False}
        await gate.post("service", "", {"messages": [public]})
        assert (await client.next_broadcast())["event"] == "public"
    assert {event["event"] for event in received} >= {"message", "status"}


@pytest.mark.promise("isolation")
async def test_a_deleted_conversation_can_not_be_joined_any_more(
    gate: Gate, user: User, topic: str
) -> None:
    """Its owner could a moment ago; now it is nobody's, also for a new token on the old socket."""
    at = f"/conversations/{topic.removeprefix('conversation:')}"
    async with gate.socket("owner") as client:
        assert (await gate.join(client, "owner", topic))["status"] == "ok"
        assert (await user.functions.delete(at)).status_code == 200
        reply = await gate.join(client, "owner", topic)
    assert reply["status"] == "error"
    assert reply["response"]["reason"].startswith("Unauthorized: ")


def odd_topics(own: str) -> dict[str, str]:
    """Return topics that are close to the owner's, or to no topic at all."""
    return {
        "no id": "conversation:",
        "sql": "conversation:' or 1=1",
        "sql after the id": f"{own}' or '1'='1",
        "10 kB": "conversation:" + "x" * 10_000,
        "NUL": f"{own}\x00",
        "lone surrogate": "conversation:\ud800",
        "upper case": own.upper(),
        "upper-case id": "conversation:" + own.removeprefix("conversation:").upper(),
        "a space": f" {own}",
        "a newline": f"{own}\n",
        "a wildcard": "conversation:%",
        "underscores": "conversation:" + "_" * 36,
        "no hyphens": own.replace("-", ""),
        "braces": own.replace(":", ":{") + "}",
        "the bare id": own.removeprefix("conversation:"),
        "twice": f"{own}:{own}",
        "a prefix": own[:-1],
        "realtime twice": f"realtime:{own}",
    }


@pytest.mark.promise("isolation")
async def test_an_odd_topic_is_refused_and_breaks_nothing(gate: Gate, topic: str) -> None:
    """To its owner too, with the word for a refusal, not for a fault; the socket goes on."""
    wrong = {}
    async with gate.socket("owner") as client:
        for name, odd in odd_topics(topic).items():
            reply = await gate.join(client, "owner", odd)
            reason = str(reply["response"].get("reason", ""))
            if reply["status"] != "error" or not reason.startswith("Unauthorized: "):
                wrong[name] = reply
        assert wrong == {}
        assert (await gate.join(client, "owner", topic))["status"] == "ok"


# Someone else's and a missing one: the same answer, in the same time.

Ask: TypeAlias = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]
ABOUT_A_CONVERSATION: dict[str, Ask] = {
    "load-conversation": lambda client, of: client.get(
        "/load-conversation", params={"conversationId": of}
    ),
    "POST load-conversation": lambda client, of: client.post(
        "/load-conversation", json={"conversationId": of, "after": 1}
    ),
    "mega-mind": lambda client, of: client.post(
        "/mega-mind", json={"request": "x", "conversationId": of}
    ),
    "mega-mind, unstored": lambda client, of: client.post(
        "/mega-mind", json={"request": "x", "conversationId": of, "persistMessages": False}
    ),
    "search-messages": lambda client, of: client.get(
        "/search-messages", params={"q": "x", "conversationId": of}
    ),
    "GET conversations": lambda client, of: client.get(f"/conversations/{of}"),
    "PATCH conversations": lambda client, of: client.patch(
        f"/conversations/{of}", json={"title": "Mine"}
    ),
    "DELETE conversations": lambda client, of: client.delete(f"/conversations/{of}"),
}
ABOUT_A_TURN: dict[str, Ask] = {
    "cancel-turn": lambda client, of: client.post("/cancel-turn", json={"turnId": of}),
    "GET mega-mind": lambda client, of: client.get("/mega-mind", params={"turnId": of}),
}
ABOUT = ABOUT_A_CONVERSATION | ABOUT_A_TURN


@pytest.fixture
async def turn(user: User) -> dict[str, Any]:
    """A settled turn of the user's, in a conversation with something in it."""
    answer: dict[str, Any] = (await user.send("x" * 10_000)).json()
    return answer


def visible(answer: httpx.Response) -> tuple[int, Any, list[str]]:
    """Return all of an answer that could tell two apart: status, body, names of headers."""
    return answer.status_code, answer.json(), sorted(answer.headers)


@pytest.mark.promise("no oracle", red='`begin_turn` says "Not yours." for one that exists')
@pytest.mark.parametrize("name", ABOUT)
async def test_someone_elses_and_a_missing_one_are_the_same_answer(
    other_user: User, turn: dict[str, Any], name: str
) -> None:
    """Status, body and names of headers: a 404, and not a byte between them."""
    foreign = turn["turnId" if name in ABOUT_A_TURN else "conversationId"]
    ask = ABOUT[name]
    answers = [await ask(other_user.functions, of) for of in (foreign, str(uuid.uuid4()))]
    assert visible(answers[0]) == visible(answers[1])
    assert answers[0].status_code == 404


@pytest.mark.promise("no oracle", red="`begin_turn` takes 50 ms longer for one that exists")
@pytest.mark.parametrize("name", ABOUT)
async def test_someone_elses_and_a_missing_one_take_the_same_time(
    other_user: User, turn: dict[str, Any], name: str
) -> None:
    """The medians of interleaved tries lie close together; a noisy machine gets another chance."""
    foreign = turn["turnId" if name in ABOUT_A_TURN else "conversationId"]
    factors = []
    for _ in range(TRIES):
        factors.append(await apart(ABOUT[name], other_user.functions, foreign))
        if factors[-1] <= MOST:
            break
    assert min(factors) <= MOST, factors


async def apart(ask: Ask, client: httpx.AsyncClient, foreign: str) -> float:
    """Return how far apart the median times are, as a factor of at least one."""
    order = random.Random(7)  # noqa: S311 - which of the two goes first
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(PAIRS):
        for is_foreign in order.sample([True, False], 2):
            of = foreign if is_foreign else str(uuid.uuid4())
            started = time.perf_counter()
            await ask(client, of)
            times[is_foreign].append(time.perf_counter() - started)
    medians = [statistics.median(times[kind]) for kind in (True, False)]
    return max(medians) / min(medians)


async def test_negative_control_a_difference_in_time_is_measured() -> None:
    """An answer that works three times as long for the one than for the other is noticed."""

    async def ask(_: httpx.AsyncClient, of: str) -> httpx.Response:
        rounds = 3000 if of == "foreign" else 1000
        for _round in range(rounds):
            json.dumps({"of": of})
        return httpx.Response(404)

    async with httpx.AsyncClient() as client:
        factors = [await apart(ask, client, "foreign") for _ in range(TRIES)]
    assert max(factors) > MOST, factors


@pytest.mark.promise("private keys", red="`begin_turn` looks a key up without the user")
async def test_a_users_key_tells_another_nothing(user: User, other_user: User) -> None:
    """The same key and body, sent by another at the same moment, is a turn of that user's own."""
    both = await asyncio.gather(user.send("Same", key="same"), other_user.send("Same", key="same"))
    assert [answer.status_code for answer in both] == [200, 200]
    assert [answer.json()["replayed"] for answer in both] == [False, False]
    assert both[0].json()["conversationId"] != both[1].json()["conversationId"]


@pytest.mark.promise("isolation")
async def test_one_user_on_many_sockets_receives_only_their_own(
    gate: Gate, user: User, other_user: User, topic: str
) -> None:
    """Two users at once, each on the topic of their own: neither receives the other's turn."""
    others = f"conversation:{(await other_user.send('Hi')).json()['conversationId']}"
    async with AsyncExitStack() as opened:
        sockets = {
            actor: await opened.enter_async_context(gate.socket(actor))
            for actor in ("owner", "other")
        }
        await gate.join(sockets["owner"], "owner", topic)
        await gate.join(sockets["other"], "other", others)
        await asyncio.gather(
            user.send("mine", conversationId=topic.removeprefix("conversation:")),
            other_user.send("theirs", conversationId=others.removeprefix("conversation:")),
        )
        for actor, own, foreign in (("owner", topic, others), ("other", others, topic)):
            await send_as_service(gate, own, "last")
            received: list[dict[str, Any]] = []
            while not received or received[-1]["payload"]["event"] != "last":
                received.append(await sockets[actor].next_event("broadcast"))
            assert {frame["topic"] for frame in received} == {f"realtime:{own}"}
            assert foreign.removeprefix("conversation:") not in json.dumps(received)
