"""The doctor: each kind of damage is planted, found for what it is, and mended without a loss."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.bundle import bundle, settings_for
from tests.support.proxy import Proxy, proxy_to, refuses
from tests.support.sql_calls import as_service
from tests.support.stack import free_ports, running_stack
from tests.support.users import User, make_user

CHECKS = {
    "turn_without_message",
    "settled_turn_without_reply",
    "turn_with_two_replies",
    "seq_gap",
    "seq_tie",
    "last_seq_wrong",
    "created_at_out_of_order",
    "key_used_twice",
    "row_of_another_owner",
    "turn_without_worker",
    "conversation_missing",
    "message_of_unknown_turn",
    "draft_left_behind",
    "import_left_behind",
    "summary_of_no_message",
    "words_of_no_message",
}

# Constraints that some damage can't be planted beside; a repair must let them be added again.
KEYS = {
    "messages_user_id_conversation_id_seq_key": (
        "messages",
        "unique (user_id, conversation_id, seq)",
    ),
    "messages_user_id_turn_id_role_key": ("messages", "unique (user_id, turn_id, role)"),
    "turns_user_id_idempotency_key_key": ("turns", "unique (user_id, idempotency_key)"),
}

# A turn that is really begun: its message gets its place from the trigger.
BEGIN_TURN = (
    "set session_replication_role = origin",
    "select begin_turn(user_id, 'begun', 'hash', 'And then?', gen_random_uuid(), id)"
    " from conversations where id = %(conversation)s",
    "set session_replication_role = replica",
)


@dataclass(frozen=True)
class Damage:
    """Statements that break something, and how much of what is then found.

    They may name %(conversation)s of four messages, its two turns %(first)s and %(second)s, and
    %(other)s, a user with another conversation.
    """

    found: dict[str, int]
    plant: tuple[str, ...]
    without: str | None = None
    name: str = ""

    def __str__(self) -> str:
        return self.name or "+".join(self.found)


DAMAGES = [
    Damage(
        {"settled_turn_without_reply": 1},
        ("update messages set turn_id = null where turn_id = %(first)s and role = 'assistant'",),
        name="a reply that lost its turn",
    ),
    Damage(
        {"settled_turn_without_reply": 1, "last_seq_wrong": 1, "words_of_no_message": 1},
        ("delete from messages where turn_id = %(second)s and role = 'assistant'",),
        name="a reply that is gone",
    ),
    Damage(
        {"turn_with_two_replies": 1},
        (
            "insert into messages (conversation_id, user_id, role, content, turn_id, seq,"
            " created_at) select id, user_id, 'assistant', 'A second reply.', %(second)s, 5,"
            " updated_at + interval '1 microsecond' from conversations where id = %(conversation)s",
            "update conversations set last_seq = 5 where id = %(conversation)s",
        ),
        without="messages_user_id_turn_id_role_key",
    ),
    Damage(
        {"seq_gap": 1},
        (
            "update messages set seq = seq + 5 where conversation_id = %(conversation)s"
            " and seq = 4",
            "update conversations set last_seq = 9 where id = %(conversation)s",
        ),
    ),
    Damage(
        {"seq_gap": 1},
        (
            "update messages set seq = seq - 5 where conversation_id = %(conversation)s"
            " and seq in (1, 2)",
        ),
        name="seqs below 1",
    ),
    Damage(
        {"seq_tie": 1},
        (
            "update messages set seq = 3 where conversation_id = %(conversation)s and seq = 4",
            "update conversations set last_seq = 3 where id = %(conversation)s",
        ),
        without="messages_user_id_conversation_id_seq_key",
    ),
    Damage(
        {"last_seq_wrong": 1},
        ("update conversations set last_seq = 9 where id = %(conversation)s",),
        name="a last_seq ahead",
    ),
    Damage(
        {"last_seq_wrong": 1},
        ("update conversations set last_seq = 2 where id = %(conversation)s",),
        name="a last_seq behind",
    ),
    Damage(
        {"created_at_out_of_order": 1},
        (
            "update messages set created_at = created_at + interval '1 hour'"
            " where conversation_id = %(conversation)s and seq = 2",
        ),
    ),
    Damage(
        {"created_at_out_of_order": 1},
        (
            "update messages set created_at = '2026-11-01T00:00:00Z'"
            " where conversation_id = %(conversation)s",
        ),
        name="one created_at for all",
    ),
    Damage(
        {"key_used_twice": 1},
        ("update turns set idempotency_key = 'key' where conversation_id = %(conversation)s",),
        without="turns_user_id_idempotency_key_key",
    ),
    Damage(
        {
            "row_of_another_owner": 1,
            "turn_without_message": 1,
            "settled_turn_without_reply": 1,
            "words_of_no_message": 2,
        },
        ("update messages set user_id = %(other)s where turn_id = %(first)s",),
    ),
    Damage(
        {"row_of_another_owner": 1, "turn_without_message": 1, "settled_turn_without_reply": 1},
        ("update turns set user_id = %(other)s where id = %(first)s",),
        name="another owner's turn",
    ),
    Damage(
        {"row_of_another_owner": 1, "turn_without_message": 1, "settled_turn_without_reply": 1},
        (
            "update turns set user_id = %(other)s, idempotency_key = (select idempotency_key"
            " from turns where id = %(second)s) where id = %(first)s",
        ),
        name="another owner's turn with a key of this one's",
    ),
    Damage(
        {"turn_without_worker": 1},
        (
            *BEGIN_TURN,
            "update turns set draft = 'Half an ans', lease_expires_at = now() - interval '1 hour'"
            " where status = 'running'",
        ),
    ),
    Damage(
        {"turn_without_worker": 1},
        (
            "update turns set status = 'running', finished_at = null,"
            " lease_expires_at = now() - interval '1 hour' where id = %(second)s",
        ),
        name="a reply that its turn never learned of",
    ),
    Damage(
        {"conversation_missing": 1},
        ("delete from conversations where id = %(conversation)s",),
    ),
    Damage(
        {"conversation_missing": 1},
        ("update turns set conversation_id = gen_random_uuid() where id = %(first)s",),
        name="a turn of no conversation",
    ),
    Damage(
        {"draft_left_behind": 1},
        ("update turns set draft = 'Half an ans' where id = %(first)s",),
    ),
    Damage(
        {"import_left_behind": 1},
        (
            "insert into private.import_parts (user_id, import_id, part, staged_at)"
            " values (%(other)s, gen_random_uuid(), 0, now() - interval '2 hours')",
        ),
    ),
    Damage(
        {"summary_of_no_message": 1},
        (
            "insert into summaries (id, conversation_id, user_id, through_message_id)"
            " values (gen_random_uuid(), %(conversation)s, %(other)s, gen_random_uuid())",
        ),
    ),
    Damage(
        {"words_of_no_message": 1},
        (
            "insert into search.documents (message_id, starts_at, user_id, conversation_id, role,"
            " created_at, words) values (gen_random_uuid(), 1, %(other)s, %(conversation)s, 'user',"
            " now(), 'erased')",
        ),
    ),
    Damage(
        {"message_of_unknown_turn": 2},
        ("delete from turns where id = %(first)s",),
    ),
]

EVERYTHING_AT_ONCE = (
    "update messages set seq = seq * 3 where conversation_id = %(conversation)s and seq > 1",
    "update messages set created_at = '2026-11-01T00:00:00Z'"
    " where conversation_id = %(conversation)s",
    "update conversations set last_seq = 1 where id = %(conversation)s",
    "update turns set user_id = %(other)s where id = %(first)s",
    "update messages set user_id = %(other)s"
    " where conversation_id = %(conversation)s and role = 'user'",
    "delete from messages where turn_id = %(first)s and role = 'assistant'",
    "update turns set status = 'running', finished_at = null,"
    " lease_expires_at = now() - interval '1 hour' where id = %(second)s",
    "update messages set turn_id = gen_random_uuid()"
    " where turn_id = %(second)s and role = 'assistant'",
    "delete from conversations where id = %(others)s",
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of this module's own: damage is everybody's."""
    with running_stack() as running:
        yield running


@pytest.fixture
def db(stack: Stack) -> Iterator[psycopg.Connection]:
    """Its database, with no constraint of another row's in the way."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield connection


@dataclass
class Patient:
    """A user's conversation of four messages, and another user with one of two."""

    stack: Stack
    db: psycopg.Connection
    owner: User
    other: User
    names: dict[str, str] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        return self.names["conversation"]

    def plant(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement.encode(), self.names)

    def texts(self) -> Counter[str]:
        return Counter(row[0] for row in self.db.execute("select content from messages"))

    def check(self, **arguments: Any) -> dict[str, dict[str, Any]]:
        """Return what the check says, by name."""
        row = self.db.execute(
            "select check_invariants(grace_seconds => %(grace)s, since => %(since)s)",
            {"grace": 120, "since": None, **arguments},
        ).fetchone()
        assert row is not None
        checks = {check["name"]: check for check in row[0]["checks"]}
        assert set(checks) == CHECKS
        return checks

    def broken(self, **arguments: Any) -> dict[str, int]:
        """Return how much is broken, of what is."""
        checks = self.check(**arguments)
        return {name: check["broken"] for name, check in checks.items() if check["broken"]}

    def repair(self, *, grace: int = 120) -> set[str]:
        """Repair as the doctor does, without its command, and return the names of what it did."""
        with as_service(self.stack.settings.db_url) as service:
            return {
                name
                for user_id in service.call("check_invariants", grace_seconds=grace)["users"]
                for name in service.call("repair_invariants", user_id=user_id, grace_seconds=grace)[
                    "repaired"
                ]
            }

    async def doctor(self, *options: str, **changed: str) -> "Said":
        """Run the doctor with this stack's environment and nothing else."""
        return await run_doctor(*options, **{**self.stack.settings.environment(), **changed})


@dataclass(frozen=True)
class Said:
    """How a run of the doctor ended, and what it wrote."""

    code: int | None
    out: str
    err: str

    @property
    def repaired(self) -> dict[str, int]:
        """What was mended, of --repair --json."""
        repaired: dict[str, int] = json.loads(self.out)["repaired"]
        return repaired

    @property
    def broken(self) -> dict[str, int]:
        """What is broken, of --json."""
        return {row["name"]: row["broken"] for row in self.checks if row["broken"]}

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks, of --json."""
        checks: list[dict[str, Any]] = json.loads(self.out)["checks"]
        return checks


async def run_doctor(*options: str, **environment: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.doctor", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path("/"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    out, err = await process.communicate()
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def patient(stack: Stack, db: psycopg.Connection) -> AsyncIterator[Patient]:
    """Two users with a conversation each, in a store that holds nothing else."""
    db.execute("truncate conversations, messages, turns cascade")
    made = Patient(stack, db, await make_user(stack), await make_user(stack))
    with as_service(stack.settings.db_url) as service:
        first = service.begin(made.owner.id, "One")
        service.complete(first)
        conversation = first["conversation"]["id"]
        second = service.begin(made.owner.id, "Two", conversation_id=conversation)
        service.complete(second)
        others = service.begin(made.other.id, "Three")
        service.complete(others)
    made.names = {
        "conversation": conversation,
        "first": first["turn"]["id"],
        "second": second["turn"]["id"],
        "other": made.other.id,
        "others": others["conversation"]["id"],
    }
    yield made
    await made.owner.functions.aclose()
    await made.other.functions.aclose()


async def test_a_store_that_is_whole_has_nothing_broken(patient: Patient) -> None:
    """Every check is there, with none broken; a repair has nothing to do."""
    checks = patient.check()
    said = await patient.doctor("--repair", "--json")
    assert all(check["broken"] == 0 and check["examples"] == [] for check in checks.values())
    assert {name for name in CHECKS if not checks[name]["repairable"]} == {"turn_without_message"}
    assert (said.code, said.repaired, said.broken) == (0, {}, {})


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
async def test_damage_is_found_and_mended_without_a_loss(patient: Patient, damage: Damage) -> None:
    """Exactly it is found; after the repair all is well, no text is gone, and the chat goes on."""
    with constraint_dropped(patient.db, damage.without):
        patient.plant(*damage.plant)
        before, broken = patient.texts(), patient.broken()
        repaired = patient.repair()
    gained = patient.texts() - before
    assert broken == damage.found
    assert repaired & set(damage.found)
    assert patient.texts() >= before
    assert set(gained) <= {"Half an ans", "The reply was interrupted before it was complete."}
    assert patient.broken() == {}
    await assert_goes_on(patient)


class constraint_dropped:  # noqa: N801 - reads as a statement
    """Without this constraint for a while; it can only come back where the rows allow it."""

    def __init__(self, db: psycopg.Connection, name: str | None) -> None:
        self.db, self.name = db, name
        self.table, self.definition = KEYS.get(name or "", ("", ""))

    def __enter__(self) -> None:
        if self.name:
            self.db.execute(f"alter table {self.table} drop constraint {self.name}".encode())

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if not self.name:
            return
        if failed:
            self.db.execute("truncate conversations, messages, turns cascade")
        self.db.execute(
            f"alter table {self.table} add constraint {self.name} {self.definition}".encode()
        )


async def assert_goes_on(patient: Patient) -> None:
    """The owner loads the conversation, and the next message takes the next place."""
    before = (await patient.owner.load(patient.conversation)).json()
    sent = await patient.owner.send("And on", conversationId=patient.conversation)
    after = (await patient.owner.load(patient.conversation)).json()["messages"]
    assert sent.status_code == 200, sent.text
    assert [row["seq"] for row in after] == list(range(1, len(before["messages"]) + 3))
    moments = [row["created_at"] for row in after]
    assert moments == sorted(set(moments))
    assert patient.broken() == {}


async def test_a_repair_keeps_the_order_of_the_messages(patient: Patient) -> None:
    """Gaps, and a created_at that runs back: afterwards the same texts in the same order."""
    order = "select content from messages where conversation_id = %(conversation)s order by seq"
    before = patient.db.execute(order.encode(), patient.names).fetchall()
    patient.plant(
        "update messages set seq = seq * 7, created_at = created_at - seq * interval '1 day'"
        " where conversation_id = %(conversation)s"
    )
    patient.repair()
    assert patient.db.execute(order.encode(), patient.names).fetchall() == before
    assert patient.broken() == {}


async def test_damage_upon_damage_is_mended_in_one_run(patient: Patient) -> None:
    """Nearly everything wrong with one conversation, and the other one gone."""
    patient.plant(*EVERYTHING_AT_ONCE)
    before, broken = patient.texts(), patient.broken()
    said = await patient.doctor("--repair", "--json")
    assert len(broken) >= 9
    assert (said.code, said.broken) == (0, {}), said.out
    assert patient.texts() >= before
    await assert_goes_on(patient)


async def test_a_second_repair_has_nothing_to_do(patient: Patient) -> None:
    """And changes no row."""
    patient.plant(*EVERYTHING_AT_ONCE)
    patient.repair()
    before = everything_in(patient.db)
    assert patient.repair() == set()
    assert everything_in(patient.db) == before


def everything_in(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    return [
        row
        for table in ("conversations", "messages", "turns")
        for row in db.execute(f"select to_jsonb(t)::text from {table} as t order by id".encode())
    ]


async def test_a_reply_that_is_gone_is_stored_as_interrupted(patient: Patient) -> None:
    """A settled turn whose reply is lost says so, in the words of a turn without a worker."""
    patient.plant("delete from messages where turn_id = %(second)s and role = 'assistant'")
    patient.repair()
    last = (await patient.owner.load(patient.conversation)).json()["messages"][-1]
    assert last["turn_id"] == patient.names["second"]
    assert last["content"] == "The reply was interrupted before it was complete."
    assert last["metadata"]["error"]["type"] == "interrupted"


async def test_a_second_reply_is_kept_outside_of_the_turn(patient: Patient) -> None:
    """The turn keeps the one it points to; the other keeps its text and its place."""
    damage = next(damage for damage in DAMAGES if "turn_with_two_replies" in damage.found)
    with constraint_dropped(patient.db, damage.without):
        patient.plant(*damage.plant)
        patient.repair()
    rows = (await patient.owner.load(patient.conversation)).json()["messages"]
    assert rows[3]["turn_id"] == patient.names["second"]
    assert (rows[4]["content"], rows[4]["turn_id"]) == ("A second reply.", None)


async def test_an_orphaned_conversation_is_its_owners_again(patient: Patient) -> None:
    """It has its id, its messages and a title that says what happened to it."""
    before = (await patient.owner.load(patient.conversation)).json()["messages"]
    patient.plant("delete from conversations where id = %(conversation)s")
    lost = await patient.owner.load(patient.conversation)
    patient.repair()
    found = (await patient.owner.load(patient.conversation)).json()
    assert lost.status_code == 404
    assert found["conversation"]["title"] == "Recovered"
    assert found["messages"] == before
    assert (await patient.other.load(patient.conversation)).status_code == 404


async def test_orphans_of_two_owners_are_not_shown_to_each_other(patient: Patient) -> None:
    """One gets the conversation with its id, the other one of its own, each with all of theirs."""
    patient.plant(
        "update messages set conversation_id = %(conversation)s, seq = seq + 4"
        " where conversation_id = %(others)s",
        "update turns set conversation_id = %(conversation)s where conversation_id = %(others)s",
        "delete from conversations",
    )
    before = patient.texts()
    patient.repair()
    owners = patient.db.execute(
        "select c.user_id::text, array_agg(distinct m.user_id::text), count(*)"
        " from conversations as c join messages as m on m.conversation_id = c.id group by c.id"
    ).fetchall()
    assert (patient.broken(), patient.texts()) == ({}, before)
    assert sorted(owners) == sorted(
        [(patient.owner.id, [patient.owner.id], 4), (patient.other.id, [patient.other.id], 2)]
    )


async def test_orphans_of_an_account_that_is_gone_are_left_and_named(patient: Patient) -> None:
    """Nobody is given them, nothing of theirs is lost, and the doctor still says 1."""
    patient.plant(
        "delete from auth.users where id = %(other)s",
        "delete from conversations where id = %(others)s",
    )
    before = everything_in(patient.db)
    said = await patient.doctor("--repair", "--json")
    assert said.code == 1
    assert said.repaired == {}
    assert said.broken == {"conversation_missing": 1}
    assert everything_in(patient.db) == before


async def test_a_lost_request_is_named_and_nothing_is_made_up(patient: Patient) -> None:
    """What a user said can't be had again: it is found, named and left."""
    patient.plant("update messages set turn_id = null where turn_id = %(first)s and role = 'user'")
    before = everything_in(patient.db)
    assert patient.repair() == set()
    assert patient.check()["turn_without_message"] == {
        "name": "turn_without_message", "broken": 1, "examples": [patient.names["first"]],
        "repairable": False,
    }  # fmt: skip
    assert everything_in(patient.db) == before


async def test_a_turn_that_has_a_worker_is_left_alone(patient: Patient) -> None:
    """A live lease is no damage, nor is one that is over for less than the grace."""
    patient.plant(*BEGIN_TURN)
    live = patient.repair(grace=0)
    patient.plant(
        "update turns set lease_expires_at = now() - interval '30 minutes' where status = 'running'"
    )
    before = everything_in(patient.db)
    within = await patient.doctor("--repair", "--json", "--grace", "3600")
    assert everything_in(patient.db) == before
    assert (live, within.broken, patient.broken()) == (set(), {}, {"turn_without_worker": 1})


async def test_five_examples_are_given_of_many(patient: Patient) -> None:
    """The count is whole, the examples are ids of what is broken."""
    patient.plant("update messages set turn_id = gen_random_uuid()")
    check = patient.check()["message_of_unknown_turn"]
    ids = {row[0] for row in patient.db.execute("select id::text from messages")}
    assert check["broken"] == 6
    assert len(set(check["examples"])) == 5
    assert set(check["examples"]) <= ids


async def test_the_table_says_what_is_broken_and_what_a_repair_does(patient: Patient) -> None:
    """Exit code 1 with the id and the remedy; 0 after the repair, which says what it did."""
    patient.plant("update conversations set last_seq = 9 where id = %(conversation)s")
    sick = await patient.doctor()
    mended = await patient.doctor("--repair")
    well = await patient.doctor()
    lines = sick.out.splitlines()
    starts = {line.index(word) for line, word in zip(lines[:2], ("broken", "0"), strict=False)}
    row = next(line for line in lines if line.startswith("last_seq_wrong"))
    assert [sick.code, mended.code, well.code] == [1, 0, 0]
    assert row.split()[:3] == ["last_seq_wrong", "1", patient.conversation]
    assert "set it to the newest message's" in row
    assert {line.split()[0] for line in lines[1:-1]} == CHECKS
    assert starts == {lines[0].index("broken"), lines[0].index("broken") + 5}
    assert lines[-1].startswith("Broken: last_seq_wrong; --repair")
    assert mended.out.startswith("repaired last_seq_wrong: 1\n")
    assert mended.out.endswith("All is well.\n")
    assert [sick.err, mended.err, well.err] == ["", "", ""]


async def test_json_is_one_object_with_every_check(patient: Patient) -> None:
    """For a machine to read; without a repair, nothing of one."""
    said = await patient.doctor("--json")
    assert said.code == 0
    assert list(json.loads(said.out)) == ["checks"]
    assert {check["name"] for check in said.checks} == CHECKS


async def test_a_store_that_is_down_is_one_line_and_code_3(patient: Patient) -> None:
    """Nothing on standard output, and the address in the line."""
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = await patient.doctor("--json", SUPABASE_URL=closed)
    assert (said.code, said.out) == (3, "")
    assert said.err == f"the store at {closed} can't be reached\n"


async def test_a_store_that_refuses_the_key_is_one_line_and_code_3(patient: Patient) -> None:
    """The publishable key in the secret one's place."""
    key = patient.stack.settings.environment()["SUPABASE_PUBLISHABLE_KEY"]
    said = await patient.doctor(SUPABASE_SECRET_KEY=key)
    assert (said.code, said.out) == (3, "")
    assert said.err.count("\n") == 1
    assert key not in said.err


async def test_a_missing_setting_is_one_line_and_code_2(tmp_path: Path) -> None:
    """It names the setting."""
    said = await run_doctor(SUPABASE_URL="http://127.0.0.1:1", SUPABASE_SECRET_KEY="sb_secret_x")
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "SUPABASE_PUBLISHABLE_KEY is missing" in said.err


@pytest.mark.parametrize("actor", ["anon", "user", "service"])
async def test_only_the_service_may_call(patient: Patient, actor: str) -> None:
    """A stranger and a user are refused, with nothing changed."""
    patient.plant("update conversations set last_seq = 9 where id = %(conversation)s")
    environment = patient.stack.settings.environment()
    headers = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
    if actor == "user":
        headers["authorization"] = f"Bearer {patient.owner.token}"
    elif actor == "service":
        headers = {"apikey": environment["SUPABASE_SECRET_KEY"]}
    grace = {"grace_seconds": 120}
    own = {"user_id": patient.owner.id, **grace}
    before = everything_in(patient.db)
    async with httpx.AsyncClient(
        base_url=f"{environment['SUPABASE_URL']}/rest/v1/rpc", headers=headers
    ) as http:
        answers = {"check_invariants": await http.post("check_invariants", json=grace)}
        unchanged = everything_in(patient.db) == before
        answers["repair_invariants"] = await http.post("repair_invariants", json=own)
    may = {name for name, answer in answers.items() if answer.is_success}
    refusals = {answer.json()["code"] for name, answer in answers.items() if name not in may}
    assert may == ({*answers} if actor == "service" else set())
    assert refusals == (set() if actor == "service" else {"42501"})
    assert unchanged
    assert (everything_in(patient.db) == before) == (actor != "service")


async def test_the_service_still_may_not_change_a_message(patient: Patient) -> None:
    """The repair runs with rights that its caller does not have."""
    environment = patient.stack.settings.environment()
    async with httpx.AsyncClient(base_url=environment["SUPABASE_URL"]) as http:
        answer = await http.patch(
            f"/rest/v1/messages?conversation_id=eq.{patient.conversation}",
            headers={"apikey": environment["SUPABASE_SECRET_KEY"]},
            json={"turn_id": None},
        )
    assert answer.json()["code"] == "42501"


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    """A proxy in front of the stack, that counts the calls."""
    async with proxy_to(stack.settings.url) as running:
        yield running


async def deep_health(patient: Patient, proxy: Proxy) -> httpx.Response:
    settings = settings_for(patient.stack, supabase_url=proxy.url)
    async with bundle(settings, token=patient.owner.token) as client:
        return await client.get("/health", params={"deep": "1"})


async def test_deep_health_counts_what_is_broken_and_stays_well(
    patient: Patient, proxy: Proxy
) -> None:
    """Two calls, the usual fields, and each check's count; a shallow one has none of it."""
    patient.plant(
        "update conversations set last_seq = 9 where id = %(conversation)s",
        "update turns set status = 'running', finished_at = null,"
        " lease_expires_at = now() - interval '1 hour' where id = %(second)s",
    )
    deep = await deep_health(patient, proxy)
    body = deep.json()
    assert deep.status_code == 200
    assert (body["status"], body["store"]) == ("ok", "ok")
    assert set(body["invariants"]) == CHECKS
    counted = {name: count for name, count in body["invariants"].items() if count}
    assert counted == {"last_seq_wrong": 1, "turn_without_worker": 1}
    assert proxy.rpc_calls == ["ping", "check_invariants"]
    assert (await patient.owner.functions.get("/health")).json() == {"status": "ok"}


async def test_deep_health_is_well_where_the_check_fails(patient: Patient, proxy: Proxy) -> None:
    """The metric is left out; whether the store answers is the ping's to say."""
    proxy.on("check_invariants", refuses)
    deep = await deep_health(patient, proxy)
    assert (deep.status_code, deep.json()) == (200, {"status": "ok", "store": "ok"})


async def test_a_bounded_check_looks_at_what_was_written_since(patient: Patient) -> None:
    """Old damage is the full check's to find; a lost worker is found however old its turn is."""
    patient.plant(
        "update messages set created_at = created_at - interval '1 day'",
        "update conversations set last_seq = 9",
    )
    now = "select now() - interval '1 hour'"
    since = patient.db.execute(now).fetchone()
    assert since is not None
    assert patient.broken(since=since[0]) == {}
    assert patient.broken() == {"last_seq_wrong": 2}
    patient.plant(
        "update turns set status = 'running', finished_at = null,"
        " lease_expires_at = now() - interval '1 hour' where id = %(second)s"
    )
    assert patient.broken(since=since[0]) == {"last_seq_wrong": 1, "turn_without_worker": 1}


async def test_a_bounded_check_stops_at_a_hundred_conversations(patient: Patient) -> None:
    """However many were written to, so that its cost has an end."""
    patient.plant(
        "insert into conversations (id, user_id, last_seq) select gen_random_uuid(),"
        " %(other)s, 9 from generate_series(1, 150)",
        "insert into messages (conversation_id, user_id, role, content, seq, created_at)"
        " select id, user_id, 'user', 'x', 1, now() + interval '1 minute' from conversations"
        " where last_seq = 9",
    )
    assert patient.broken(since="-infinity") == {"last_seq_wrong": 100}
    assert patient.broken() == {"last_seq_wrong": 150}
