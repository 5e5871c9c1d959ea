"""The history checker: silent about a good run, and loud about every planted violation."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import get_args

import httpx
import pytest

from tests.support.fault_history import (
    Call,
    History,
    Kind,
    Outcome,
    Row,
    SqlRows,
    Violation,
    VoidRunError,
    check,
    outcome_of,
    read_api,
)

ALICE, BOB = "alice", "bob"
ANSWER = {"replayed": False, "userMessage": {"id": "1"}, "message": {"id": "2"}}


class Spoiled:
    """A run of three good turns of two users, to be spoiled before it is checked."""

    def __init__(self) -> None:
        self.history = History(faults=Counter(database=1))
        self.messages: list[Row] = []
        self.turns: list[Row] = []
        self.add_turn(ALICE, "a", "first")
        self.add_turn(ALICE, "a", "second")
        self.add_turn(BOB, "b", "third")
        self.api = {
            user: [copy.deepcopy(row) for row in self.messages if row["user_id"] == user]
            for user in (ALICE, BOB)
        }

    def add_turn(self, user: str, place: str, text: str) -> None:
        shared = {"conversation_id": place, "user_id": user, "turn_id": f"turn {text}"}
        before = sum(row["conversation_id"] == place for row in self.messages)
        asked = {"id": text, "role": "user", "content": text, "seq": before + 1, **shared}
        reply = {"id": f"re {text}", "role": "assistant", "content": "Yes", "seq": before + 2}
        self.messages += [asked, {**reply, **shared}]
        self.turns.append(
            {
                "id": f"turn {text}",
                "conversation_id": place,
                "user_id": user,
                "idempotency_key": text,
                "status": "completed",
            }
        )
        call = self.history.call(text, text, user_id=user, conversation_id=place)
        call.outcomes.append(Outcome("ok", 200, tuple(copy.deepcopy(self.messages[-2:]))))

    def found(self) -> list[Violation]:
        return check(self.history, self.api, SqlRows(self.messages, self.turns))

    def kinds(self) -> set[str]:
        return {violation.kind for violation in self.found()}

    def forget(self, row_id: str) -> None:
        """Take a row from the table and from every reading."""
        self.messages[:] = [row for row in self.messages if row["id"] != row_id]
        self.api = {u: [r for r in rows if r["id"] != row_id] for u, rows in self.api.items()}

    def add_row(self, **changes: object) -> None:
        """Add a row at the end of Alice's conversation, stored and read."""
        row = {**self.messages[0], "id": "new", "seq": 5, **changes}
        self.messages.append(row)
        self.api[ALICE].append(copy.deepcopy(row))


def change_a_text(run: Spoiled) -> None:
    run.messages[0]["content"] = run.api[ALICE][0]["content"] = "first?"


def lose_what_nobody_was_answered(run: Spoiled) -> None:
    run.history.calls[2].outcomes[:] = [Outcome("unknown", 503)]
    run.api[BOB].pop()


def skip_a_place(run: Spoiled) -> None:
    for row in (*run.messages, *run.api[BOB]):
        row["seq"] += row["id"] == "re third"


def answer_in_two_ways(run: Spoiled) -> None:
    outcome = run.history.calls[0].outcomes[0]
    other = ({**outcome.rows[0], "id": "another"}, outcome.rows[1])
    run.history.calls[0].outcomes.append(Outcome("ok", 200, other))


PLANTED: dict[str, tuple[Kind, Callable[[Spoiled], object]]] = {
    "a reply is lost": ("lost", lambda w: w.forget("re second")),
    "it is lost in the API": ("lost", lambda w: w.api[BOB].pop()),
    "a text is changed": ("lost", change_a_text),
    "what nobody was answered is lost": ("lost", lose_what_nobody_was_answered),
    "what was refused is stored": ("phantom", lambda w: w.history.calls[2].outcomes.__setitem__(
        slice(None), [Outcome("refused", 400), Outcome("refused")])),
    "what nobody asked is stored": ("phantom", lambda w: w.add_row(content="who said this?")),
    "it is stored elsewhere": ("phantom", lambda w: setattr(
        w.history.calls[0], "conversation_id", "another")),
    "what is not stored is read": ("phantom", lambda w: w.api[ALICE].append(
        {**w.messages[0], "id": "new", "seq": 5})),
    "a turn has an unknown key": ("phantom", lambda w: w.turns.append(
        {**w.turns[0], "id": "turn x", "idempotency_key": "x"})),
    "a request is stored twice": ("duplicate", lambda w: w.add_row()),
    "a turn has two replies": ("duplicate", lambda w: w.add_row(role="assistant", content="No")),
    "a key has two turns": ("duplicate", lambda w: w.turns.append(
        {**w.turns[0], "id": "turn again"})),
    "a row is read twice": ("duplicate", lambda w: w.api[BOB].append(w.api[BOB][-1])),
    "a place is skipped": ("gap", skip_a_place),
    "rows are read out of order": ("gap", lambda w: w.api[ALICE].reverse()),
    "a reply lost its message": ("orphan", lambda w: w.forget("third")),
    "a turn is settled without a reply": ("orphan", lambda w: w.forget("re third")),
    "a turn is lost": ("orphan", lambda w: w.turns.pop()),
    "another's row is read": ("leak", lambda w: w.api[BOB].extend(w.api[ALICE])),
    "a row is in another's conversation": ("leak", lambda w: w.messages[-1].update(user_id=ALICE)),
    "a key is answered in two ways": ("two_answers", answer_in_two_ways),
}  # fmt: skip


def test_a_good_run_has_no_violation() -> None:
    """Nothing is reported where everything is as it was asked and answered."""
    assert Spoiled().found() == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    """Each way to break a promise is reported under its kind."""
    kind, plant = PLANTED[name]
    run = Spoiled()
    plant(run)
    assert kind in run.kinds()


def test_every_kind_of_violation_is_planted_somewhere() -> None:
    """The list above leaves none of them out."""
    assert {kind for kind, _ in PLANTED.values()} == set(get_args(Kind))


def test_what_an_unknown_outcome_left_behind_is_no_violation() -> None:
    """A key that nobody got an answer for may be stored or not, and its turn may still run."""
    run = Spoiled()
    run.history.calls[1].outcomes[:] = [Outcome("refused"), Outcome("unknown")]
    assert run.kinds() == set()
    run.forget("re second")
    run.turns[1].update(status="running")
    assert run.kinds() == set()
    run.forget("second")
    del run.turns[1]
    assert run.kinds() == set()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: run.history.faults.clear(), "no fault"),
        (lambda run: [call.outcomes.clear() for call in run.history.calls], "acknowledged"),
        (lambda run: run.api.pop(BOB), "bob"),
    ],
    ids=["peace", "nothing to lose", "not read back"],
)
def test_a_run_that_proves_nothing_is_void(spoil: Callable[[Spoiled], object], reason: str) -> None:
    """A user without a reading, for one, is not a user who lost everything."""
    run = Spoiled()
    spoil(run)
    with pytest.raises(VoidRunError, match=reason):
        run.found()


@pytest.mark.parametrize(
    "answer", [httpx.Response(503), httpx.ConnectError("no"), httpx.Response(401)]
)
async def test_a_reading_that_fails_is_void(answer: httpx.Response | Exception) -> None:
    """An API that can't be read has lost nothing yet."""

    def serve(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(serve)
    async with httpx.AsyncClient(base_url="http://api", transport=transport) as http:
        with pytest.raises(VoidRunError):
            await read_api(History(), {ALICE: http})


def test_two_calls_cannot_share_their_text() -> None:
    """A stored text names the call it came from."""
    history = History()
    history.call("k", "text", user_id=ALICE, conversation_id=None)
    with pytest.raises(ValueError, match="text"):
        history.call("l", "text", user_id=BOB, conversation_id=None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json=ANSWER), "ok"),
        (httpx.Response(400), "refused"),
        (httpx.Response(404), "refused"),
        (httpx.Response(409), "unknown"),
        (httpx.Response(429), "unknown"),
        (httpx.Response(500), "unknown"),
        (httpx.Response(503), "unknown"),
    ],
)
def test_an_answer_says_what_may_be_stored(answer: httpx.Response, kind: str) -> None:
    """Only a refusal of the request itself is certain."""
    assert outcome_of(answer).kind == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), "refused"),
        (httpx.ConnectTimeout("slow"), "refused"),
        (httpx.ReadTimeout("slow"), "unknown"),
        (httpx.ReadError("reset"), "unknown"),
        (httpx.RemoteProtocolError("cut"), "unknown"),
    ],
)
async def test_a_connection_that_fails_says_what_may_be_stored(
    error: httpx.TransportError, kind: str
) -> None:
    """Only one that was never made has surely stored nothing."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    call = Call("k", "text", ALICE, None)
    transport = httpx.MockTransport(fail)
    async with httpx.AsyncClient(base_url="http://api", transport=transport) as http:
        await call.attempt(http)
    assert [outcome.kind for outcome in call.outcomes] == [kind]
