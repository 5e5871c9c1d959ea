"""A user of the chaos run: does anything a user can, remembers what was acknowledged, checks it.

An operation whose outcome nobody knows is repeated until there is a definite answer, as a client
does: with the same key, or because it does the same twice.
"""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

DEFINITE = {200, 201, 404, 422}
RETRY_SECONDS = 0.1
RETRIES = 600


@dataclass
class ChaosUser:
    """One user with two doors: the functions, either of several processes, and the Data API."""

    id: str
    token: str
    doors: list[httpx.AsyncClient]
    rest: httpx.AsyncClient
    rng: random.Random
    strangers: list["ChaosUser"] = field(default_factory=list)
    conversations: dict[str, dict[str, str]] = field(default_factory=dict)  # id: message: content
    deleted: dict[str, set[str]] = field(default_factory=dict)  # id: the words that were in it
    keys: dict[str, str] = field(default_factory=dict)  # key: the conversation that it led to
    done: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    async def act(self) -> None:
        """Do one thing."""
        operations: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self.take_turn), (10, self.stream_turn), (8, self.abandon_turn), (8, self.repeat),
            (15, self.load), (6, self.search), (6, self.add_row), (4, self.rename),
            (4, self.delete), (4, self.bring_in), (4, self.take_out), (6, self.peek),
        ]  # fmt: skip
        weights = [weight for weight, _ in operations]
        (chosen,) = self.rng.choices([operation for _, operation in operations], weights)
        await chosen()
        self.done[chosen.__name__] += 1

    def some(self) -> str | None:
        """Return one of the conversations, or none for a new one."""
        return self.rng.choice([*self.conversations, None])

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send until the answer is definite."""
        for _ in range(RETRIES):
            try:
                answer = await self.rng.choice(self.doors).request(method, path, **request)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in DEFINITE:
                return answer
            await asyncio.sleep(RETRY_SECONDS)
        raise AssertionError(f"{method} {path} never had an answer")

    async def take_turn(self, key: str | None = None, *, place: str | None = None) -> None:
        """Take a turn, under a key of its own."""
        key, place = key or uuid.uuid4().hex, place or self.some()
        body = {"request": f"word{uuid.uuid4().hex} of {self.id}"}
        body |= {} if place is None else {"conversationId": place}
        await self._until_stored(key, body)

    async def stream_turn(self) -> None:
        """Take a turn as a stream; where it breaks, ask for it with its key."""
        key, place = uuid.uuid4().hex, self.some()
        body = {"request": f"word{uuid.uuid4().hex}"}
        body |= {} if place is None else {"conversationId": place}
        headers = {"idempotency-key": key, "accept": "text/event-stream"}
        try:
            async with self.rng.choice(self.doors).stream(
                "POST", "/mega-mind", json=body, headers=headers
            ) as answer:
                async for _ in answer.aiter_bytes():
                    pass
        except httpx.TransportError:
            self.done["broken stream"] += 1
        await self._until_stored(key, body)

    async def abandon_turn(self) -> None:
        """Send a turn and go away; some other time its key may come back."""
        body = {"request": f"word{uuid.uuid4().hex}"}
        sending = self.rng.choice(self.doors).post(
            "/mega-mind", json=body, headers={"idempotency-key": uuid.uuid4().hex}
        )
        try:
            async with asyncio.timeout(self.rng.random() * 0.2):
                await sending
        except (TimeoutError, httpx.TransportError):
            pass

    async def repeat(self) -> None:
        """Send a key again: the same reply, or 404 if its conversation was deleted."""
        if not self.keys:
            return
        key = self.rng.choice([*self.keys])
        conversation = self.keys[key]
        if conversation in self.deleted:
            # Whatever it asks: the key alone decides, and asks no AI.
            answer = await self.ask(
                "POST", "/mega-mind", json={"request": "x"}, headers={"idempotency-key": key}
            )
            if answer.status_code == 200:
                self.violations.append(f"the key {key} of a deleted conversation brought it back")

    async def _until_stored(self, key: str, body: dict[str, Any]) -> None:
        answer = await self.ask("POST", "/mega-mind", json=body, headers={"idempotency-key": key})
        if answer.status_code != 200:
            self.violations.append(f"a turn of one's own was answered {answer.status_code}")
            return
        turn = answer.json()
        self.keys[key] = turn["conversationId"]
        rows = self.conversations.setdefault(turn["conversationId"], {})
        for row in (turn["userMessage"], turn["message"]):
            rows[row["id"]] = row["content"]

    async def load(self) -> None:
        """Read a conversation: all that was acknowledged is in it, in order, and nobody else's."""
        conversation = self.some()
        if conversation is None:
            await self.ask("GET", "/conversations")
            return
        messages: list[dict[str, Any]] = []
        after, more = 0, True
        while more:
            query = {"conversationId": conversation, "after": str(after), "limit": "200"}
            answer = await self.ask("GET", "/load-conversation", params=query)
            if answer.status_code != 200:
                self.violations.append(f"a conversation of one's own was {answer.status_code}")
                return
            page = answer.json()
            messages += page["messages"]
            more = page["page"]["hasNewer"]
            after = messages[-1]["seq"] if messages else 0
        self._compare(conversation, messages)

    def _compare(self, conversation: str, messages: list[dict[str, Any]]) -> None:
        if [row["seq"] for row in messages] != [*range(1, len(messages) + 1)]:
            self.violations.append(f"{conversation} was read with a gap or out of order")
        if {row["user_id"] for row in messages} - {self.id}:
            self.violations.append(f"{conversation} was read with another user's row")
        stored = {row["id"]: row["content"] for row in messages}
        for message, content in self.conversations[conversation].items():
            if stored.get(message) != content:
                self.violations.append(f"{message} was acknowledged, and is missing or different")

    async def search(self) -> None:
        """Find a word that was acknowledged."""
        words = [
            content.split()[0]
            for rows in self.conversations.values()
            for content in rows.values()
            if content.startswith("word")
        ]
        if not words:
            return
        word = self.rng.choice(words)
        answer = await self.ask("GET", "/search-messages", params={"q": word})
        if answer.status_code != 200 or not answer.json()["hits"]:
            self.violations.append(f"{word} was acknowledged, and not found")

    async def add_row(self) -> None:
        """Write a row over the Data API, as a page may; nobody repeats one that has no answer."""
        conversation = self.some()
        if conversation is None:
            return
        row = {
            "conversation_id": conversation,
            "user_id": self.id,
            "role": "user",
            "content": f"word{uuid.uuid4().hex}",
        }
        try:
            answer = await self.rest.post("/messages", json=row)
        except httpx.TransportError:
            return
        if answer.status_code == 201:
            (stored,) = answer.json()
            self.conversations[conversation][stored["id"]] = stored["content"]

    async def rename(self) -> None:
        """Give a conversation another title."""
        if (conversation := self.some()) is not None:
            body = {"title": f"Title {self.rng.random()}"}
            await self.ask("PATCH", f"/conversations/{conversation}", json=body)

    async def delete(self) -> None:
        """Delete a conversation; a repetition may find that it is gone already."""
        if (conversation := self.some()) is not None:
            await self.ask("DELETE", f"/conversations/{conversation}")
            words = self.conversations.pop(conversation).values()
            self.deleted[conversation] = {word.split()[0] for word in words if word[:4] == "word"}

    async def bring_in(self) -> None:
        """Import a list of messages, under a key."""
        texts = [f"word{uuid.uuid4().hex}" for _ in range(4)]
        rows = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]
        headers = {"idempotency-key": uuid.uuid4().hex, "content-type": "application/json"}
        answer = await self.ask(
            "POST", "/import-conversation", content=json.dumps(rows), headers=headers
        )
        report = answer.json()
        taken = [*report.get("taken", []), *report.get("skipped", [])]
        if answer.status_code != 200 or len(taken) != 1:
            self.violations.append(f"an import was answered {answer.status_code}")
            return
        self.conversations.setdefault(taken[0]["conversationId"], {})

    async def take_out(self) -> None:
        """Export a conversation: all that was acknowledged is in the file."""
        if (conversation := self.some()) is None:
            return
        query = {"conversationId": conversation, "format": "json"}
        answer = await self.ask("GET", "/export-conversation", params=query)
        missing = [m for m in self.conversations[conversation] if m not in answer.text]
        if answer.status_code != 200 or missing:
            self.violations.append(f"an export of {conversation} was not whole")

    async def peek(self) -> None:
        """Ask for another user's conversation: it is as if there were none."""
        stranger = self.rng.choice(self.strangers)
        if (conversation := self.rng.choice([*stranger.conversations, None])) is None:
            return
        answer = await self.ask(
            "GET", "/load-conversation", params={"conversationId": conversation}
        )
        if answer.status_code != 404:
            self.violations.append(f"a stranger's conversation was answered {answer.status_code}")
