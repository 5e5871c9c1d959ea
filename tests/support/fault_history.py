"""What clients asked for and were answered under faults, held against what is stored afterwards.

`check` is a pure function; `read_back` fetches what it compares.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import httpx
import psycopg

Row: TypeAlias = dict[str, Any]
ApiRows: TypeAlias = "Mapping[str, Sequence[Row]]"  # by the user who read them, as they came

Kind = Literal["lost", "phantom", "duplicate", "gap", "orphan", "leak", "two_answers"]

PAGE = 20
WAITING = {409, 429}  # says nothing about what this key has led to


class VoidRunError(Exception):
    """The run proves nothing."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was broken.

    lost         an acknowledged or stored row is missing or different
    phantom      a row that nobody asked for
    duplicate    a row, a request or a reply that is there twice
    gap          a conversation that isn't 1, 2, 3 ... in order
    orphan       a reply without its message, a settled turn without its reply
    leak         a row of one user where another one sees it
    two_answers  one key that led to different rows
    """

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: answered with rows, surely not stored, or nobody knows."""

    kind: Literal["ok", "refused", "unknown"]
    status: int | None = None
    rows: tuple[Row, ...] = ()
    is_replay: bool = False


@dataclass(slots=True)
class Call:
    """One request under its key, and what each attempt led to."""

    key: str
    request: str
    user_id: str
    conversation_id: str | None
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Outcome]:
        """The attempts that were answered with rows."""
        return [outcome for outcome in self.outcomes if outcome.kind == "ok"]

    @property
    def may_be_stored(self) -> bool:
        """Whether any attempt may have got through; one without an outcome may have, too."""
        return not self.outcomes or any(o.kind != "refused" for o in self.outcomes)

    async def attempt(self, http: httpx.AsyncClient) -> Outcome:
        """Send it once and remember what came of it."""
        place = {} if self.conversation_id is None else {"conversationId": self.conversation_id}
        try:
            answer = await http.post(
                "/mega-mind",
                json={"request": self.request, **place},
                headers={"idempotency-key": self.key},
            )
            outcome = outcome_of(answer)
        except httpx.TransportError as exc:
            never_arrived = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
            outcome = Outcome("refused" if never_arrived else "unknown")
        self.outcomes.append(outcome)
        return outcome


@dataclass(slots=True)
class History:
    """Every call of a run, and how often each fault fired."""

    calls: list[Call] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def call(self, key: str, request: str, *, user_id: str, conversation_id: str | None) -> Call:
        """Note a call before it is made. Its text must be its own: rows are known by it."""
        if any(known.request == request for known in self.calls):
            raise ValueError(f"asked before: {request}")
        self.calls.append(Call(key, request, user_id, conversation_id))
        return self.calls[-1]

    def acknowledged(self) -> Iterator[tuple[Call, Outcome]]:
        """Yield each answer that came with rows."""
        return ((call, outcome) for call in self.calls for outcome in call.acknowledged)


@dataclass(frozen=True, slots=True)
class SqlRows:
    """What the tables hold of a run's users, whole rows in the form that the API gives them."""

    messages: Sequence[Row]
    turns: Sequence[Row]


def outcome_of(answer: httpx.Response) -> Outcome:
    """Say what an answer means for what is stored."""
    status = answer.status_code
    if status == 200:
        body = answer.json()
        rows = (body["userMessage"], body["message"])
        return Outcome("ok", status, rows, is_replay=body["replayed"])
    is_certain = 400 <= status < 500 and status not in WAITING
    return Outcome("refused" if is_certain else "unknown", status)


def check(history: History, api_rows: ApiRows, sql_rows: SqlRows) -> list[Violation]:
    """Return every broken promise; raise VoidRunError where the run can't show any."""
    if not history.faults.total():
        raise VoidRunError("no fault fired")
    if not any(history.acknowledged()):
        raise VoidRunError("nothing was acknowledged")
    unread = {call.user_id for call in history.calls} - api_rows.keys()
    if unread:
        raise VoidRunError(f"not read back for {sorted(unread)}")
    return [
        *_lost(history, api_rows, sql_rows),
        *_phantoms(history, api_rows, sql_rows),
        *_duplicates(api_rows, sql_rows),
        *_gaps(api_rows, sql_rows),
        *_orphans(sql_rows),
        *_leaks(api_rows, sql_rows),
        *_two_answers(history),
    ]


def _lost(history: History, api_rows: ApiRows, sql_rows: SqlRows) -> Iterator[Violation]:
    stored = _by_id(sql_rows.messages)
    read = {reader: _by_id(rows) for reader, rows in api_rows.items()}
    for call, outcome in history.acknowledged():
        for row in outcome.rows:
            if stored.get(row["id"]) != row:
                yield Violation("lost", f"{_named(row)} of key {call.key} is not what is stored")
            if read[call.user_id].get(row["id"]) != row:
                yield Violation("lost", f"{_named(row)} of key {call.key} is not what is read")
    for row in sql_rows.messages:
        if read.get(row["user_id"], {}).get(row["id"]) != row:
            yield Violation("lost", f"{_named(row)} is stored, and its owner doesn't read it so")


def _phantoms(history: History, api_rows: ApiRows, sql_rows: SqlRows) -> Iterator[Violation]:
    stored, turns = _by_id(sql_rows.messages), _by_id(sql_rows.turns)
    asked = {(call.user_id, call.key): call for call in history.calls if call.may_be_stored}
    for turn in turns.values():
        if (turn["user_id"], turn["idempotency_key"]) not in asked:
            yield Violation("phantom", f"turn {turn['id']} has a key that nobody used")
    for row in stored.values():
        turn = turns.get(row["turn_id"], {})
        call = asked.get((turn.get("user_id", ""), turn.get("idempotency_key", "")))
        if call is None or not _is_of(call, row):
            yield Violation("phantom", f"{_named(row)} was never asked for")
    for reader, rows in api_rows.items():
        for row in rows:
            if row["id"] not in stored:
                yield Violation("phantom", f"{_named(row)} is read by {reader}, and not stored")


def _is_of(call: Call, row: Row) -> bool:
    is_there = call.conversation_id in {None, row["conversation_id"]}
    is_theirs = call.user_id == row["user_id"]
    is_said = row["role"] == "assistant" or (row["role"], row["content"]) == ("user", call.request)
    return is_there and is_theirs and is_said


def _duplicates(api_rows: ApiRows, sql_rows: SqlRows) -> Iterator[Violation]:
    requests = [row for row in sql_rows.messages if row["role"] == "user"]
    replies = [row for row in sql_rows.messages if row["role"] == "assistant"]
    for text in _twice((row["user_id"], row["content"]) for row in requests):
        yield Violation("duplicate", f"request {text} is stored twice")
    for turn_id in _twice(row["turn_id"] for row in replies):
        yield Violation("duplicate", f"turn {turn_id} has two replies")
    for key in _twice((turn["user_id"], turn["idempotency_key"]) for turn in sql_rows.turns):
        yield Violation("duplicate", f"key {key} has two turns")
    for reader, rows in api_rows.items():
        for row_id in _twice(row["id"] for row in rows):
            yield Violation("duplicate", f"{reader} reads message {row_id} twice")


def _gaps(api_rows: ApiRows, sql_rows: SqlRows) -> Iterator[Violation]:
    in_place = sorted(sql_rows.messages, key=lambda row: int(row["seq"]))
    for reader, rows in [("the table", in_place), *api_rows.items()]:
        places: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            places[row["conversation_id"]].append(row["seq"])
        for conversation_id, seqs in places.items():
            if seqs != list(range(1, len(seqs) + 1)):
                yield Violation("gap", f"conversation {conversation_id} for {reader}: {seqs}")


def _orphans(sql_rows: SqlRows) -> Iterator[Violation]:
    stored, turns = _by_id(sql_rows.messages), _by_id(sql_rows.turns)
    in_turns = {(row["turn_id"], row["role"]) for row in stored.values()}
    for row in stored.values():
        if row["turn_id"] not in turns:
            yield Violation("orphan", f"{_named(row)} has no turn")
    for turn in turns.values():
        if (turn["id"], "user") not in in_turns:
            yield Violation("orphan", f"turn {turn['id']} has no message")
        if turn["status"] != "running" and (turn["id"], "assistant") not in in_turns:
            yield Violation("orphan", f"turn {turn['id']} is {turn['status']} without a reply")


def _leaks(api_rows: ApiRows, sql_rows: SqlRows) -> Iterator[Violation]:
    owners = {turn["conversation_id"]: turn["user_id"] for turn in sql_rows.turns}
    for reader, rows in [("", sql_rows.messages), *api_rows.items()]:
        for row in rows:
            owner = owners.get(row["conversation_id"], row["user_id"])
            if {row["user_id"], owner} != {reader or owner}:
                yield Violation(
                    "leak", f"{_named(row)} of {row['user_id']}, with {reader or owner}"
                )


def _two_answers(history: History) -> Iterator[Violation]:
    answered: defaultdict[tuple[str, str], list[tuple[Row, ...]]] = defaultdict(list)
    for call, outcome in history.acknowledged():
        rows = answered[call.user_id, call.key]
        if rows and rows[0] != outcome.rows:
            yield Violation("two_answers", f"key {call.key} was answered in two ways")
        rows.append(outcome.rows)


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}


def _named(row: Row) -> str:
    return f"{row['role']} message {row['id']} (seq {row['seq']})"


def _twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


async def read_back(
    history: History, clients: Mapping[str, httpx.AsyncClient], db: psycopg.Connection
) -> tuple[ApiRows, SqlRows]:
    """Read everything by both roads, again if something was stored between the two."""
    before = read_sql(db, clients)
    while True:
        api_rows = await read_api(history, clients)
        after = read_sql(db, clients)
        if before.messages == after.messages:
            return api_rows, after
        before = after


async def read_api(history: History, clients: Mapping[str, httpx.AsyncClient]) -> ApiRows:
    """Let every user read every conversation there is, page by page; others' should be empty."""
    listed = await asyncio.gather(*(_conversations(http) for http in clients.values()))
    known = {
        row["conversation_id"] for _, outcome in history.acknowledged() for row in outcome.rows
    }
    everything = sorted(known.union(*listed))
    readings = await asyncio.gather(*(_messages(http, everything) for http in clients.values()))
    return dict(zip(clients, readings, strict=True))


async def _conversations(http: httpx.AsyncClient) -> set[str]:
    ids: set[str] = set()
    query: dict[str, str] = {"limit": str(PAGE)}
    while True:
        page = await _get(http, "/conversations", query)
        ids.update(row["id"] for row in page["conversations"])
        if page["nextCursor"] is None:
            return ids
        query["cursor"] = page["nextCursor"]


async def _messages(http: httpx.AsyncClient, conversation_ids: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for conversation_id in conversation_ids:
        after: int | None = 0
        while after is not None:
            query = {"conversationId": conversation_id, "limit": str(PAGE), "after": str(after)}
            page = await _get(http, "/load-conversation", query, missing={"messages": []})
            rows += page["messages"]
            has_newer = page.get("page", {}).get("hasNewer")
            after = page["page"]["newestSeq"] if has_newer else None
    return rows


async def _get(
    http: httpx.AsyncClient, path: str, query: dict[str, str], *, missing: Row | None = None
) -> Row:
    try:
        answer = await http.get(path, params=query)
    except httpx.TransportError as exc:
        raise VoidRunError(f"{path} could not be read: {type(exc).__name__}") from exc
    if answer.status_code == 404 and missing is not None:
        return missing
    if answer.status_code != 200:
        raise VoidRunError(f"{path} could not be read: {answer.status_code} {answer.text}")
    body: Row = answer.json()
    return body


def read_sql(db: psycopg.Connection, user_ids: Iterable[str]) -> SqlRows:
    """Read what is stored of these users, past every policy."""
    users = list(user_ids)
    messages = db.execute(
        "select to_jsonb(m) from messages as m join conversations as c on c.id = m.conversation_id"
        " where m.user_id = any(%(users)s::uuid[]) or c.user_id = any(%(users)s::uuid[])"
        " order by m.conversation_id, m.seq",
        {"users": users},
    ).fetchall()
    turns = db.execute(
        "select to_jsonb(t) from turns as t where t.user_id = any(%s::uuid[])", (users,)
    ).fetchall()
    return SqlRows([row for (row,) in messages], [row for (row,) in turns])
