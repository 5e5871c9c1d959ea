"""What may happen in one user's chats, and what must hold after each step."""

from collections import defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, precondition, rule

from tests.support.branch_model import Node
from tests.support.chat_model import BEGUN, BROKEN, NOTHING, STOPPED, Chat, Turn, page_of
from tests.support.chat_player import Player, problem

TEXTS = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(
    ["<script>alert(1)</script>", "x" * 5000, "'; drop table messages; --", "\u202e"]
)

PICK = st.integers(0, 9)


class Life(Player):
    """One user, one other user, the bundle, and whatever may happen between them."""

    turns = Bundle("turns")

    # What may happen.

    @initialize(target=turns, text=TEXTS, held=st.booleans())
    def say_the_first_thing(self, text: str, held: bool) -> Any:
        """There is a conversation."""
        return self._send(self._body(text), Chat(), held=held)

    @precondition(lambda self: len(self.there) < 3)
    @rule(target=turns, text=TEXTS, held=st.booleans())
    def say_something_new(self, text: str, held: bool) -> Any:
        """No conversation is named, so one is made."""
        return self._send(self._body(text), Chat(), held=held)

    @rule(target=turns, text=TEXTS, turn=turns, held=st.booleans())
    def say_something_more(self, text: str, turn: Turn, held: bool) -> Any:
        """The conversation may be free, busy, behind a lost worker, or gone."""
        body = {**self._body(text), "conversationId": turn.chat.id}
        return self._send(body, turn.chat, held=held)

    @rule(target=turns, text=TEXTS, turn=turns, pick=PICK, held=st.booleans(), again=st.booleans())
    def fork(self, text: str, turn: Turn, pick: int, held: bool, again: bool) -> Any:
        """A message of any branch is edited, a reply made once more, or a message answered."""
        chat, body = turn.chat, self._body(text)
        nodes = [node for node in chat.tree.nodes if again or node.role == "user"]
        beside = nodes[-1 - pick % len(nodes)]
        named = self._id_of(chat, beside)
        fork = {"regenerates": named} if again else {**body, "edits": named}
        return self._send({**fork, "conversationId": chat.id}, chat, held=held, beside=beside)

    @property
    def forked(self) -> list[tuple[Chat, Node]]:
        """The messages that have siblings, from the newest."""
        nodes = [(chat, node) for chat in self.there for node in reversed(chat.tree.nodes)]
        return [(chat, node) for chat, node in nodes if len(chat.tree.siblings(node)) > 1]

    @precondition(lambda self: self.forked)
    @rule(pick=PICK)
    def switch(self, pick: int) -> None:
        """To a sibling, and to what was last written below it; not while a turn runs."""
        chat, sibling = self.forked[pick % len(self.forked)]
        tree = chat.tree
        id_ = self._id_of(chat, sibling)
        shown = self._load(chat, limit=1, around=id_).json()["siblings"][id_]["messages"]
        self._interrupt_lost(chat)
        choice = {"activeBranch": next(each["branch"] for each in shown if each["id"] == id_)}
        answer = self.run(self.owner.patch(f"/conversations/{chat.id}", json=choice))
        if chat.running is None:
            assert answer.status_code == 200, answer.text
            tree.tip = tree.newest_below(sibling)
        elif answer.status_code == 200:
            assert sibling in tree.path, "it was active"
        else:
            assert problem(answer) == (409, "turn_in_progress")

    @rule(target=turns, turn=turns)
    def retry(self, turn: Turn) -> Any:
        """The same key and body: replayed, joined, taken over, or not found where all is gone."""
        turn = self.known[turn.key]
        if turn.chat.is_deleted:
            answer = self.run(self._ask(turn.body, turn.key))
            assert problem(answer) == (404, "conversation_not_found")
            return turn
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
        other: dict[str, Any] = {"metadata": {"a": 1}}
        if not metadata:
            other = {"regenerates": NOTHING} if "regenerates" in turn.body else {"request": "!"}
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
        body, was_running = answer.json(), turn.status == "running"
        if was_running:
            turn.settle("cancelled", STOPPED if turn.is_expired else BEGUN)
            self._put_to_sleep(turn)
        assert (body["turnId"], body["status"]) == (turn.id, turn.status)
        if was_running:
            self._acknowledge(turn, body["message"])
        assert body["message"]["content"] == self._content_of_reply(turn)

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
        page, tree = answer.json(), chat.tree
        nodes, *more = page_of(tree, limit, **where)
        shown = [(row["seq"], row["role"], row["content"]) for row in page["messages"]]
        assert shown == [(node.seq, node.role, node.content) for node in nodes]
        assert [page["page"]["hasOlder"], page["page"]["hasNewer"]] == more
        assert page["lastSeq"] == len(tree.nodes)
        with_siblings = {
            row["id"]: (tree.siblings(node).index(node) + 1, len(tree.siblings(node)))
            for row, node in zip(page["messages"], nodes, strict=True)
            if len(tree.siblings(node)) > 1
        }
        places = {id_: (each["position"], each["count"]) for id_, each in page["siblings"].items()}
        assert places == with_siblings
        open_turn = page["openTurn"] and page["openTurn"]["turnId"]
        assert open_turn == (chat.running.id if chat.running else None)

    @rule(turn=turns)
    def load_all(self, turn: Turn) -> None:
        """Every row that was ever acknowledged is there and the same; so is every conversation."""
        chat = turn.chat
        if not chat.is_deleted:
            rows = {
                row["id"]: row for row in self._load(chat, limit=200, view="all").json()["messages"]
            }
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
        assert answer.json() == {"deleted": chat.id, "more": False}
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
        paths = self._rows(
            "select c.id::text, array_agg(m.seq order by m.seq) from private.conversations as c"
            " join messages as m on m.user_id = c.user_id and m.conversation_id = c.id"
            " where c.user_id = %s and m.seq <@ private.path_to(c.user_id, c, c.active_branch)"
            " group by c.id"
        )
        assert dict(paths) == {chat.id: [n.seq for n in chat.tree.path] for chat in self.there}
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
