"""A random life of one user's chats, against a plain model that foretells every answer.

After each step the stored rows are compared with the model, and the invariants are checked in SQL.
ATTACK_EXAMPLES asks for more lives than a short run has.
"""

import asyncio
import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from local.stack import Stack
from shared.ai import EngineEvent, EngineResult, Finished, HistoryMessage, TextDelta
from shared.ai.protocol import AnalysisReady
from tests.support.bundle import settings_for
from tests.support.engines import ANALYSIS
from tests.support.server import served_bundle
from tests.support.sql_calls import make_account
from tests.support.sse import read_events
from tests.support.tokens import claims_for, signed

EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "5"))
STEPS = int(os.environ.get("ATTACK_STEPS", "25"))
LIVES = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a life is short enough to read; making it shorter takes minutes
    suppress_health_check=list(HealthCheck),
)

BEGUN = "Begun. "
INTERRUPTED = "The reply was interrupted before it was complete."
STOPPED = "The reply was stopped."
NOTHING = str(uuid.UUID(int=0))
TEXTS = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(
    ["<script>alert(1)</script>", "x" * 5000, "'; drop table messages; --", "\u202e"]
)

PICK = st.integers(0, 9)

ResultT = TypeVar("ResultT")


class GatedEngine:
    """Replies with what it was asked and how much it was told before; waits where it is held."""

    name = "gated"

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}
        self.waiting: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def hold(self, request: str) -> asyncio.Event:
        """Make the next run for this request wait, once it has begun to write, for this event."""
        self._held[request] = asyncio.Event()
        return self._held[request]

    async def run(
        self, *, request: str, history: Sequence[HistoryMessage]
    ) -> AsyncIterator[EngineEvent]:
        """Yield a beginning, then, when it may, the rest."""
        reply = reply_to(request, len(history))
        gate = self._held.pop(request, None)
        yield AnalysisReady(ANALYSIS)
        yield TextDelta(BEGUN)
        if gate is not None:
            self.waiting[request].set()
            await gate.wait()
        yield TextDelta(reply.removeprefix(BEGUN))
        yield Finished(EngineResult(success=True, message=reply, engine=self.name))


def reply_to(request: str, told: int) -> str:
    """Return what the engine says to a request after so many messages."""
    return f"{BEGUN}After {told}: {request}"


@dataclass(eq=False)
class Turn:
    """A request as the model knows it: running, perhaps behind a gate, or settled with a reply."""

    key: str
    body: dict[str, Any]
    chat: "Chat"
    id: str = ""
    told: int = 0
    status: str = "running"
    attempt: int = 1
    is_expired: bool = False
    gate: asyncio.Event | None = None
    reply: dict[str, Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it keeps others out of its conversation."""
        return self.status == "running" and not self.is_expired

    def settle(self, status: str, content: str) -> None:
        """End it, with this as the reply."""
        self.status, self.is_expired = status, False
        self.chat.messages.append(("assistant", content))


@dataclass(eq=False)
class Chat:
    """A conversation as the model knows it, and the rows that were acknowledged to the user."""

    id: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_deleted: bool = False

    @property
    def running(self) -> Turn | None:
        """The turn that is not settled."""
        return next((turn for turn in self.turns if turn.status == "running"), None)


class Life(RuleBasedStateMachine):
    """One user, one other user, the bundle, and whatever may happen between them.

    Each attempt at a turn is a process of its own: in one that still has a worker at the turn, that
    one goes on.
    """

    turns = Bundle("turns")

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

    # What may happen.

    @initialize(target=turns, text=TEXTS, held=st.booleans())
    def say_the_first_thing(self, text: str, held: bool) -> Any:
        """There is a conversation."""
        return self._send(self._body(text), Chat(), self._new_key(), held=held)

    @precondition(lambda self: len(self.there) < 3)
    @rule(target=turns, text=TEXTS, held=st.booleans())
    def say_something_new(self, text: str, held: bool) -> Any:
        """No conversation is named, so one is made."""
        return self._send(self._body(text), Chat(), self._new_key(), held=held)

    @rule(target=turns, text=TEXTS, turn=turns, held=st.booleans())
    def say_something_more(self, text: str, turn: Turn, held: bool) -> Any:
        """The conversation may be free, busy, behind a lost worker, or gone."""
        body = {**self._body(text), "conversationId": turn.chat.id}
        return self._send(body, turn.chat, self._new_key(), held=held)

    @rule(target=turns, turn=turns)
    def retry(self, turn: Turn) -> Any:
        """The same key and body: replayed, joined, taken over, or begun anew where all is gone."""
        turn = self.known[turn.key]
        if turn.chat.is_deleted:
            chat = turn.chat if "conversationId" in turn.body else Chat()
            return self._send(turn.body, chat, turn.key)
        if turn.status != "running":
            return self._replay(turn)
        return self._take_over(turn, held=False) if turn.is_expired else self._join(turn)

    @precondition(lambda self: self.lost)
    @rule(pick=PICK, held=st.booleans())
    def take_over(self, pick: int, held: bool) -> None:
        """The key comes again after its worker was lost; the new one may be slow as well."""
        self._take_over(self.lost[pick % len(self.lost)], held=held)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def join(self, pick: int) -> None:
        """The key comes again while its worker is at it."""
        self._join(self.live[pick % len(self.live)])

    @rule(turn=turns, metadata=st.booleans())
    def retry_with_another_body(self, turn: Turn, metadata: bool) -> None:
        """422, whatever has become of the turn."""
        turn = self.known[turn.key]
        other = {"metadata": {"a": 1}} if metadata else {"request": turn.body["request"] + "!"}
        if not turn.chat.is_deleted:
            answer = self.run(self._ask({**turn.body, **other}, turn.key))
            assert problem(answer) == (422, "idempotency_key_reused")

    @precondition(lambda self: self.live or self.lost)
    @rule(pick=PICK)
    def let_the_ai_end(self, pick: int) -> None:
        """Nobody listens any more, yet the reply is stored; past its lease too, where it may be."""
        running = self.live + self.lost
        self.run(self._finish(running[pick % len(running)]))

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def let_a_lease_run_out(self, pick: int) -> None:
        """The worker is asleep, and its time is up."""
        turn = self.live[pick % len(self.live)]
        self.db.execute(
            "update turns set lease_expires_at = now() - interval '1 second' where id = %s",
            (turn.id,),
        )
        turn.is_expired = True

    @precondition(lambda self: self.live or self.lost)
    @rule(pick=PICK)
    def cancel_what_runs(self, pick: int) -> None:
        """It ends with what there is of it, with a worker or without."""
        running = self.live + self.lost
        self._cancel(running[pick % len(running)])

    @precondition(lambda self: self.sleepers)
    @rule()
    def wake_the_sleepers(self) -> None:
        """Workers that have lost their turns finish, and nothing of it may be seen."""
        for gate in self.sleepers:
            gate.set()
        self.sleepers.clear()
        self.run(self.owner.get("/health", params={"deep": "1"}))

    @rule(turn=turns)
    def cancel(self, turn: Turn) -> None:
        """Any turn: a settled one stays as it is."""
        self._cancel(self.known[turn.key])

    def _cancel(self, turn: Turn) -> None:
        process = self._process_of(turn)
        answer = self.run(process.post("/cancel-turn", json={"turnId": turn.id}))
        if turn.chat.is_deleted:
            assert problem(answer) == (404, "turn_not_found")
            return
        assert answer.status_code == 200, answer.text
        told, was_running = answer.json(), turn.status == "running"
        if was_running:
            turn.settle("cancelled", STOPPED if turn.is_expired else BEGUN)
            self._put_to_sleep(turn)
        assert (told["turnId"], told["status"]) == (turn.id, turn.status)
        if was_running:
            self._acknowledge(turn, told["message"])
        assert told["message"]["content"] == self._content_of_reply(turn)

    @rule(
        turn=turns,
        limit=st.integers(1, 3),
        place=st.sampled_from(["before", "after", None]),
        seq=st.integers(0, 6),
    )
    def load_a_page(self, turn: Turn, limit: int, place: str | None, seq: int) -> None:
        """The page is the model's; a turn without a worker is settled by the way."""
        chat = turn.chat
        where = {place: seq} if place else {}
        answer = self._load(chat, limit=limit, **where)
        if chat.is_deleted:
            assert problem(answer) == (404, "conversation_not_found")
            return
        self._interrupt_lost(chat)
        page, total = answer.json(), len(chat.messages)
        first, last = page_of(total, limit, **where)
        shown = [(row["role"], row["content"]) for row in page["messages"]]
        assert shown == chat.messages[first:last]
        assert [row["seq"] for row in page["messages"]] == list(range(first + 1, last + 1))
        assert (page["page"]["hasOlder"], page["page"]["hasNewer"]) == (first > 0, last < total)
        assert page["lastSeq"] == total
        open_turn = page["openTurn"] and page["openTurn"]["turnId"]
        assert open_turn == (chat.running.id if chat.running else None)

    @rule(turn=turns)
    def load_all(self, turn: Turn) -> None:
        """Every row that was ever acknowledged is there and the same; so is every conversation."""
        chat = turn.chat
        if not chat.is_deleted:
            rows = {row["id"]: row for row in self._load(chat, limit=200).json()["messages"]}
            self._interrupt_lost(chat)
            assert {key: rows[key] for key in chat.acknowledged} == chat.acknowledged
        listed = self.run(self.owner.get("/conversations", params={"limit": "200"})).json()
        shown = {row["id"] for row in listed["conversations"]}
        assert shown == {chat.id for chat in self.there}

    @rule(turn=turns)
    def another_user_tries_everything(self, turn: Turn) -> None:
        """Each answer is the one for what does not exist, and nothing comes of it."""
        foreign = self.run(self._tries(turn.chat.id, turn.id))
        missing = self.run(self._tries(NOTHING, NOTHING))
        assert foreign == missing
        assert {status for status, _ in foreign} == {404}

    @precondition(lambda self: len(self.there) > 1)
    @rule(turn=turns)
    def delete(self, turn: Turn) -> None:
        """Once it is gone it is gone, also under the hands of a worker."""
        chat = turn.chat
        answer = self.run(self.owner.delete(f"/conversations/{chat.id}"))
        if chat.is_deleted:
            assert problem(answer) == (404, "conversation_not_found")
            return
        assert answer.json() == {"deleted": chat.id}
        chat.is_deleted = True
        for of_chat in chat.turns:
            self._put_to_sleep(of_chat)

    # What must hold.

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        """Every message and turn of the user, in order, and nothing else."""
        rows = self._rows(
            "select conversation_id::text, role, content from messages where user_id = %s"
            " order by conversation_id, seq"
        )
        stored: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for chat_id, role, content in rows:
            stored[chat_id].append((role, content))
        assert stored == {chat.id: chat.messages for chat in self.there}
        turns = self._rows(
            "select id::text, idempotency_key, status, attempt from turns where user_id = %s"
        )
        assert set(turns) == {
            (turn.id, turn.key, turn.status, turn.attempt)
            for chat in self.there
            for turn in chat.turns
        }
        assert len(turns) == len({key for _, key, _, _ in turns}), "one key, one turn"

    @invariant()
    def the_invariants_hold(self) -> None:
        """Places, moments, owners, replies: each query finds what is wrong."""
        for name, query in BROKEN.items():
            assert self._rows(query) == [], name
        others = self.db.execute(
            "select id from conversations where user_id = %s", (self.other_id,)
        )
        assert others.fetchall() == []

    # How it is done, and what the model makes of it.

    def _body(self, text: str) -> dict[str, Any]:
        self.count += 1
        return {"request": f"{text} #{self.count}"}

    def _new_key(self) -> str:
        return f"key {len(self.known)} {self.count}"

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

    def _load(self, chat: Chat, **query: int) -> httpx.Response:
        params: dict[str, str | int] = {"conversationId": chat.id, **query}
        return self.run(self.owner.get("/load-conversation", params=params))

    def _send(self, body: dict[str, Any], chat: Chat, key: str, *, held: bool = False) -> Any:
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
        turn = Turn(key, body, chat, told=len(chat.messages))
        chat.messages.append(("user", body["request"]))
        self.known[key] = turn
        chat.turns.append(turn)
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
        told = answer.json()
        turn.id, turn.chat.id = told["turnId"], told["conversationId"]
        turn.settle("completed", reply_to(turn.body["request"], turn.told))
        assert (told["success"], told["replayed"]) == (True, replayed)
        assert told["userMessage"]["content"] == turn.body["request"]
        assert told["message"]["content"] == turn.chat.messages[-1][1]
        self._acknowledge(turn, told["message"], told["userMessage"])

    async def _hang_up(self, turn: Turn) -> None:
        request, process = turn.body["request"], self._process_of(turn)
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
        turn.settle("completed", reply_to(turn.body["request"], turn.told))
        assert message.data["content"] == turn.chat.messages[-1][1]
        self._acknowledge(turn, message.data)

    def _replay(self, turn: Turn) -> Any:
        answer = self.run(self._ask(turn.body, turn.key))
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["turnId"], told["replayed"]) == (turn.id, True)
        assert told["success"] == (turn.status == "completed")
        assert told["message"]["content"] == self._content_of_reply(turn)
        if turn.reply is not None:
            assert told["message"] == turn.reply
        self._acknowledge(turn, told["message"], told["userMessage"])
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


def page_of(
    total: int, limit: int, *, before: int | None = None, after: int | None = None
) -> tuple[int, int]:
    """Return where a page begins and ends among so many messages."""
    if after is not None:
        first = min(after, total)
        return first, min(first + limit, total)
    last = total if before is None else max(min(before - 1, total), 0)
    return max(last - limit, 0), last


# What is wrong in the store, for one user; each finds nothing.
BROKEN = {
    "seq is 1 to last_seq": """
        select c.id, c.last_seq, array_agg(m.seq order by m.seq)
        from conversations as c join messages as m on m.conversation_id = c.id
        where c.user_id = %s group by c.id
        having array_agg(m.seq order by m.seq)
            <> array(select generate_series(1, c.last_seq))""",
    "created_at grows with seq": """
        select id from (
            select id, user_id, created_at,
                lag(created_at) over (partition by conversation_id order by seq) as before
            from messages) as m
        where user_id = %s and created_at <= before""",
    "an owner is its conversation's": """
        select m.id from messages as m join conversations as c on c.id = m.conversation_id
        where m.user_id <> c.user_id and %s in (m.user_id::text, c.user_id::text)
        union all
        select t.id from turns as t join conversations as c on c.id = t.conversation_id
        where t.user_id <> c.user_id""",
    "a settled turn has one reply, a running one none": """
        select t.id, t.status, count(m.id)
        from turns as t
        left join messages as m on m.turn_id = t.id and m.role = 'assistant'
        where t.user_id = %s group by t.id
        having count(m.id) <> case t.status when 'running' then 0 else 1 end
            or (t.status <> 'running' and max(m.id::text) <> t.reply_message_id::text)""",
    "a turn has one user message": """
        select t.id, count(m.id)
        from turns as t left join messages as m on m.turn_id = t.id and m.role = 'user'
        where t.user_id = %s group by t.id
        having count(m.id) <> 1 or max(m.id::text) <> t.user_message_id::text""",
}


def test_whatever_happens_the_store_is_what_the_model_says(stack: Stack) -> None:
    """Random lives of a chat: every answer is foretold, every invariant holds after each step."""

    class LifeHere(Life):
        def __init__(self) -> None:
            super().__init__(stack)

    run_state_machine_as_test(LifeHere, settings=LIVES)


@contextmanager
def watched_life(stack: Stack) -> Iterator[Life]:
    """A life to be led step by step, with the model and the invariants checked at its end too."""
    life = Life(stack)
    try:
        yield life
        check(life)
    finally:
        life.teardown()


def check(life: Life) -> None:
    """Compare the store with the model, and look for broken invariants."""
    life.the_store_is_what_the_model_says()
    life.the_invariants_hold()


def test_a_worker_that_wakes_up_leaves_the_turn_to_the_one_that_took_it_over(stack: Stack) -> None:
    """Once the first has ended, the second can still be stopped at once."""
    with watched_life(stack) as life:
        turn = life.say_something_new(text="Hello", held=True)
        life.let_a_lease_run_out(0)
        life.take_over(0, held=True)
        life.wake_the_sleepers()
        check(life)
        life.cancel(turn)


def test_every_way_that_a_turn_can_end_is_the_one_that_the_model_says(stack: Stack) -> None:
    """Each rule at least once, in an order in which it has something to do."""
    with watched_life(stack) as life:
        first = life.say_something_new(text="One", held=False)
        second = life.say_something_more(text="Two", turn=first, held=True)
        steps: list[Callable[[], Any]] = [
            lambda: life.say_something_more(text="Too soon", turn=first, held=False),
            lambda: life.join(0),
            lambda: life.retry(second),
            lambda: life.say_something_more(text="Lost and taken over", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.take_over(0, held=False),
            lambda: life.wake_the_sleepers(),
            lambda: life.say_something_more(text="Lost and loaded", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.load_all(first),
            lambda: life.say_something_more(text="Lost, and talked over", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.say_something_more(text="Over it", turn=first, held=False),
            lambda: life.say_something_more(text="Lost and stopped", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.cancel_what_runs(0),
            lambda: life.say_something_more(text="Stopped", turn=first, held=True),
            lambda: life.cancel_what_runs(0),
            lambda: life.say_something_more(text="Late, and nobody minds", turn=first, held=True),
            lambda: life.let_a_lease_run_out(0),
            lambda: life.let_the_ai_end(0),
            lambda: life.wake_the_sleepers(),
            lambda: life.retry_with_another_body(turn=second, metadata=True),
            lambda: life.another_user_tries_everything(first),
            lambda: life.load_all(first),
            *(
                lambda limit=limit, place=place, seq=seq: life.load_a_page(
                    turn=first, limit=limit, place=place, seq=seq
                )
                for limit, place, seq in ((1, None, 0), (3, "after", 2), (3, "before", 5))
            ),
            lambda: life.say_something_new(text="Elsewhere", held=False),
            lambda: life.say_something_more(text="Deleted under it", turn=first, held=True),
            lambda: life.delete(first),
            lambda: life.wake_the_sleepers(),
            lambda: life.load_a_page(turn=first, limit=1, place=None, seq=0),
            lambda: life.cancel(first),
            lambda: life.retry(second),
            lambda: life.retry(first),
        ]
        for step in steps:
            step()
            check(life)
