"""Plays one user's chats on real processes, and keeps the model of them beside it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import httpx
import psycopg
from hypothesis.stateful import RuleBasedStateMachine, multiple

from local.stack import Stack
from shared.ai.protocol import (
    AnalysisReady,
    EngineEvent,
    EngineRequest,
    EngineResult,
    Finished,
    TextDelta,
)
from tests.support.branch_model import Node
from tests.support.bundle import settings_for
from tests.support.chat_model import BEGUN, INTERRUPTED, NOTHING, Chat, Turn, reply_to
from tests.support.engines import ANALYSIS
from tests.support.server import served_bundle
from tests.support.sql_calls import make_account
from tests.support.sse import read_events
from tests.support.tokens import claims_for, signed

ResultT = TypeVar("ResultT")


class GatedEngine:
    """Replies with what it was asked and how many messages came before; waits where it is held."""

    name = "gated"

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}
        self.waiting: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def hold(self, request: str) -> asyncio.Event:
        """Make the next run for this request wait, once it has begun to write, for this event."""
        self._held[request] = asyncio.Event()
        return self._held[request]

    async def run(self, asked: EngineRequest) -> AsyncIterator[EngineEvent]:
        """Yield a beginning, then, when it may, the rest."""
        reply = reply_to(asked.text, len(asked.history))
        gate = self._held.pop(asked.text, None)
        yield AnalysisReady(ANALYSIS)
        yield TextDelta(BEGUN)
        if gate is not None:
            self.waiting[asked.text].set()
            await gate.wait()
        yield TextDelta(reply.removeprefix(BEGUN))
        yield Finished(EngineResult(success=True, message=reply, engine=self.name))


class Player(RuleBasedStateMachine):
    """Does what a rule says, compares the answer, and tells the model what must come of it.

    Each attempt at a turn is a process of its own: in one that still has a worker at the turn, that
    one goes on.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.db = psycopg.connect(stack.settings.db_url, autocommit=True)
        self.engine = GatedEngine()
        self.sleepers: list[asyncio.Event] = []
        self.known: dict[str, Turn] = {}
        self.chats: list[Chat] = []
        self.count = 0
        self.run(self._open())

    def run(self, doing: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Let the bundle work until this is done."""
        return self.runner.run(doing)

    async def _open(self) -> None:
        self.user_id, self.other_id = make_account(self.db), make_account(self.db)
        self.processes: list[httpx.AsyncClient] = []
        url = await self._open_process()
        self.owner = self.processes[0]
        self.other = await self._client(url, self.other_id)

    async def _open_process(self) -> str:
        # No heartbeat in the time of a life: a lease is over when the test says so.
        chosen = settings_for(
            self.stack, heartbeat_seconds=1000, lease_seconds=3600, drain_seconds=2
        )
        url = await self.opened.enter_async_context(served_bundle(chosen, engine=self.engine))
        self.processes.append(await self._client(url, self.user_id))
        return url

    async def _client(self, url: str, user_id: str) -> httpx.AsyncClient:
        secret = self.stack.settings.environment()["SUPABASE_JWT_SECRET"]
        headers = {"authorization": f"Bearer {signed(claims_for(user_id), secret)}"}
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=30)
        return await self.opened.enter_async_context(client)

    def teardown(self) -> None:
        """Let every worker end, then close what was opened."""
        gates = [turn.gate for turn in self.known.values() if turn.gate]
        for gate in [*gates, *self.sleepers]:
            gate.set()
        try:
            self.run(self.opened.aclose())
        finally:
            self.runner.close()
            self.db.close()

    @property
    def there(self) -> list[Chat]:
        """The conversations that were not deleted."""
        return [chat for chat in self.chats if not chat.is_deleted]

    @property
    def live(self) -> list[Turn]:
        """The turns that have a worker."""
        return [chat.running for chat in self.there if chat.running and chat.running.is_live]

    @property
    def lost(self) -> list[Turn]:
        """The turns whose lease is over."""
        return [chat.running for chat in self.there if chat.running and chat.running.is_expired]

    def _body(self, text: str) -> dict[str, Any]:
        self.count += 1
        return {"request": f"{text} #{self.count}"}

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.db.execute(
            query.encode(), {"user": self.user_id} if "%(" in query else (self.user_id,)
        ).fetchall()

    def _process_of(self, turn: Turn) -> httpx.AsyncClient:
        return self.processes[turn.attempt - 1]

    async def _ask(
        self, body: dict[str, Any], key: str, process: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        headers = {"idempotency-key": key}
        return await (process or self.owner).post("/mega-mind", json=body, headers=headers)

    def _load(self, chat: Chat, **query: int | str) -> httpx.Response:
        params: dict[str, str | int] = {"conversationId": chat.id, **query}
        return self.run(self.owner.get("/load-conversation", params=params))

    def _id_of(self, chat: Chat, node: Node) -> str:
        rows = self._rows(
            "select id::text from messages where user_id = %(user)s"
            f" and conversation_id = '{chat.id}' and seq = {node.seq}"
        )
        return str(rows.pop()[0]) if rows else NOTHING

    def _send(
        self, body: dict[str, Any], chat: Chat, *, held: bool, beside: Node | None = None
    ) -> Any:
        key = f"key {len(self.known)} {self.count}"
        busy = chat.running if not chat.is_deleted else None
        if chat.is_deleted or (busy and busy.is_live):
            answer = self.run(self._ask(body, key))
            if chat.is_deleted:
                assert problem(answer) == (404, "conversation_not_found")
            else:
                assert busy is not None
                assert problem(answer) == (409, "turn_in_progress")
                assert answer.json()["details"]["turnId"] == busy.id
                assert int(answer.headers["retry-after"]) >= 1
            return multiple()
        self._interrupt_lost(chat)
        turn = self.known[key] = Turn(key, body, chat)
        chat.begin(turn, beside)
        if chat not in self.chats:
            self.chats.append(chat)
        self._begin(turn, held=held, replayed=False)
        return turn

    def _begin(self, turn: Turn, *, held: bool, replayed: bool) -> None:
        """Send the request: to its end, or until the AI has begun to write, and then hang up."""
        if held:
            self.run(self._hang_up(turn))
            (row,) = self._rows(
                "select id::text, conversation_id::text from turns where user_id = %(user)s"
                f" and idempotency_key = '{turn.key}'"
            )
            turn.id, turn.chat.id = row
            return
        answer = self.run(self._ask(turn.body, turn.key, self._process_of(turn)))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        turn.id, turn.chat.id = body["turnId"], body["conversationId"]
        turn.settle("completed", turn.whole_reply)
        assert (body["success"], body["replayed"]) == (True, replayed)
        assert body["userMessage"]["content"] == turn.asked.content
        assert body["message"]["content"] == turn.chat.messages[-1][1]
        self._acknowledge(turn, body["message"], body["userMessage"])

    async def _hang_up(self, turn: Turn) -> None:
        request, process = turn.asked.content, self._process_of(turn)
        turn.gate = self.engine.hold(request)
        self.engine.waiting[request].clear()
        if self.count % 2:  # a stream, cut behind its first event
            headers = {"idempotency-key": turn.key, "accept": "text/event-stream"}
            async with process.stream(
                "POST", "/mega-mind", json=turn.body, headers=headers
            ) as answer:
                assert (await anext(read_events(answer))).name == "accepted"
                await self.engine.waiting[request].wait()
        else:
            asking = asyncio.create_task(self._ask(turn.body, turn.key, process))
            await self.engine.waiting[request].wait()
            asking.cancel()
            await asyncio.wait({asking})

    async def _finish(self, turn: Turn) -> None:
        """Let the AI write on, and follow the turn to its end."""
        assert turn.gate is not None
        turn.gate.set()
        process = self._process_of(turn)
        answer = await process.get("/mega-mind", params={"turnId": turn.id})
        *_, message, done = [event async for event in read_events(answer)]
        assert (message.name, done.name) == ("message", "done")
        turn.gate = None
        turn.settle("completed", turn.whole_reply)
        assert message.data["content"] == turn.chat.messages[-1][1]
        self._acknowledge(turn, message.data)

    def _replay(self, turn: Turn) -> Any:
        answer = self.run(self._ask(turn.body, turn.key))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["turnId"], body["replayed"]) == (turn.id, True)
        assert body["success"] == (turn.status == "completed")
        assert body["message"]["content"] == self._content_of_reply(turn)
        if turn.reply is not None:
            assert body["message"] == turn.reply
        self._acknowledge(turn, body["message"], body["userMessage"])
        return multiple()

    def _join(self, turn: Turn) -> Any:
        async def ask_while_it_ends() -> httpx.Response:
            asking = asyncio.create_task(self._ask(turn.body, turn.key, self._process_of(turn)))
            await self._finish(turn)
            return await asking

        answer = self.run(ask_while_it_ends())
        assert answer.status_code == 200, answer.text
        assert (answer.json()["replayed"], answer.json()["message"]) == (True, turn.reply)
        return multiple()

    def _take_over(self, turn: Turn, *, held: bool) -> Any:
        self._put_to_sleep(turn)
        turn.attempt += 1
        turn.is_expired = False
        while len(self.processes) < turn.attempt:
            self.run(self._open_process())
        self._begin(turn, held=held, replayed=False)
        return multiple()

    def _interrupt_lost(self, chat: Chat) -> None:
        lost = chat.running
        if lost is not None and lost.is_expired:
            lost.settle("interrupted", INTERRUPTED)
            self._put_to_sleep(lost)

    def _put_to_sleep(self, turn: Turn) -> None:
        if turn.gate is not None:
            self.sleepers.append(turn.gate)
            turn.gate = None

    def _acknowledge(self, turn: Turn, reply: dict[str, Any], *more: dict[str, Any]) -> None:
        turn.reply = reply
        turn.chat.acknowledged |= {row["id"]: row for row in (reply, *more)}

    def _content_of_reply(self, turn: Turn) -> str:
        (row,) = self._rows(
            "select content from messages where user_id = %(user)s and role = 'assistant'"
            f" and turn_id = '{turn.id}'"
        )
        return str(row[0])

    async def _tries(self, chat_id: str, turn_id: str) -> list[tuple[int, Any]]:
        at, ask = f"/conversations/{chat_id}", self.other.request
        answers = [
            await ask("GET", at),
            await ask("PATCH", at, json={"title": "Mine now"}),
            await ask("DELETE", at),
            await ask("GET", "/load-conversation", params={"conversationId": chat_id}),
            await ask("POST", "/mega-mind", json={"request": "x", "conversationId": chat_id}),
            await ask("GET", "/mega-mind", params={"turnId": turn_id}),
            await ask("POST", "/cancel-turn", json={"turnId": turn_id}),
        ]
        return [(answer.status_code, answer.json()) for answer in answers]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return an error's status and word."""
    return answer.status_code, answer.json().get("code", "")
