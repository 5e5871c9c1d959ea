"""A repair: each kind of damage is planted, found for what it is, and mended without a loss."""

from dataclasses import dataclass

import psycopg
import pytest

from tests.support.invariants import found_broken, repair
from tests.support.patient import BEGIN_TURN, Patient, everything_in
from tests.support.sql_calls import as_service

pytest_plugins = ["tests.support.patient"]

# Constraints that some damage can't be planted beside; a repair must let them be added again.
KEYS = {
    "messages_user_id_conversation_id_seq_key": (
        "messages",
        "unique (user_id, conversation_id, seq)",
    ),
    "messages_user_id_turn_id_role_key": ("messages", "unique (user_id, turn_id, role)"),
    "turns_user_id_idempotency_key_key": ("turns", "unique (user_id, idempotency_key)"),
}


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
        {"turn_with_two_replies": 1, "watermark_too_high": 1},
        (
            "insert into messages (conversation_id, user_id, role, content, turn_id, seq,"
            " created_at) select id, user_id, 'assistant', 'A second reply.', %(second)s, 5,"
            " updated_at + interval '1 microsecond' from conversations where id = %(conversation)s",
            "update conversations set last_seq = 5 where id = %(conversation)s",
        ),
        without="messages_user_id_turn_id_role_key",
    ),
    Damage(
        {"branch_wrong": 1},
        ("update messages set branch = 1 where conversation_id = %(conversation)s and seq = 3",),
        name="a message of a branch that isn't",
    ),
    Damage(
        {"branch_wrong": 1},
        (
            "insert into branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)"
            " select user_id, id, 1, 0, 0, 9 from conversations where id = %(conversation)s",
            "update conversations set active_branch = 2, last_branch = 2"
            " where id = %(conversation)s",
        ),
        name="a branch that begins nowhere",
    ),
    Damage(
        {"seq_gap": 1},
        (
            "insert into branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)"
            " select user_id, id, 1, 0, 2, 9 from conversations where id = %(conversation)s",
            "update messages set branch = 1, seq = seq + 6"
            " where conversation_id = %(conversation)s and seq > 2",
            "update conversations set last_seq = 10, last_branch = 1 where id = %(conversation)s",
        ),
        name="a gap before a branch",
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
            "seq_gap": 1,
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
        {"row_of_another_owner": 1, "last_seq_wrong": 1},
        (
            "update messages set user_id = %(other)s where conversation_id = %(conversation)s",
            "update turns set user_id = %(other)s where conversation_id = %(conversation)s",
            "update search.documents set user_id = %(other)s"
            " where conversation_id = %(conversation)s",
        ),
        name="all of another owner's, with its words",
    ),
    Damage(
        {"row_of_another_owner": 1, "turn_without_message": 1, "turn_without_worker": 2},
        (
            "update turns set user_id = %(other)s where id = %(first)s",
            "update turns set status = 'running', finished_at = null,"
            " lease_expires_at = now() - interval '1 hour'"
            " where conversation_id = %(conversation)s",
        ),
        name="another owner's turn that runs beside this one's",
    ),
    Damage(
        {"row_of_another_owner": 1},
        ("update turns set conversation_id = %(others)s where id = %(second)s",),
        name="a turn in another owner's conversation",
    ),
    Damage(
        {"settled_turn_without_reply": 1, "branch_wrong": 1},
        (
            "update messages set turn_id = null where turn_id = %(first)s and role = 'assistant'",
            "update conversations set active_branch = -1 where id = %(conversation)s",
        ),
        name="a reply that lost its turn where no branch is active",
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
            "insert into private.import_parts (user_id, import_id, part, taken_at)"
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
        {"watermark_too_high": 1},
        ("delete from search.documents where conversation_id = %(conversation)s",),
        name="words that are gone",
    ),
    Damage(
        {"watermark_too_high": 1},
        (
            "insert into search.watermarks (user_id, conversation_id, indexed_seq)"
            " select user_id, id, 9 from conversations where id = %(conversation)s",
        ),
        name="a watermark above what there is",
    ),
    Damage(
        {"watermark_too_high": 1},
        (
            *BEGIN_TURN[:-1],
            "select complete_turn(user_id, id, attempt, gen_random_uuid(), 'completed', 'Then.')"
            " from turns where status = 'running'",
            BEGIN_TURN[-1],
            "update search.watermarks set indexed_seq = 6 where conversation_id = %(conversation)s",
        ),
        name="a watermark above what is indexed",
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
    before = (await patient.owner.load(patient.conversation, view="all")).json()
    sent = await patient.owner.send("And on", conversationId=patient.conversation)
    after = (await patient.owner.load(patient.conversation, view="all")).json()["messages"]
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


async def test_a_reply_that_is_gone_is_stored_as_interrupted(patient: Patient) -> None:
    """A settled turn whose reply is lost says so, in the words of a turn without a worker."""
    patient.plant("delete from messages where turn_id = %(second)s and role = 'assistant'")
    patient.repair()
    last = (await patient.owner.load(patient.conversation)).json()["messages"][-1]
    assert last["turn_id"] == patient.names["second"]
    assert last["content"] == "The reply was interrupted before it was complete."
    assert last["metadata"]["error"]["type"] == "interrupted"


async def test_a_reply_that_is_gone_from_another_path_is_stored_on_that(patient: Patient) -> None:
    """It follows its turn's message, and the path that is shown stays as it is."""
    asked = patient.db.execute(
        "select id::text from messages where turn_id = %(second)s and role = 'user'", patient.names
    ).fetchone()
    assert asked is not None
    with as_service(patient.stack.settings.db_url) as service:
        service.complete(
            service.begin(
                patient.owner.id, "Edited", conversation_id=patient.conversation, edits=asked[0]
            )
        )
    patient.plant("delete from messages where turn_id = %(second)s and role = 'assistant'")
    shown = (await patient.owner.load(patient.conversation)).json()["messages"]
    patient.repair()
    forks = patient.db.execute(
        "select b.fork_seq from messages as m join branches as b"
        " using (user_id, conversation_id, branch)"
        " where m.turn_id = %(second)s and m.role = 'assistant'",
        patient.names,
    ).fetchall()
    after = (await patient.owner.load(patient.conversation)).json()["messages"]
    assert (forks, patient.broken()) == ([(3,)], {})
    assert [row["content"] for row in after] == [row["content"] for row in shown]


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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            (
                "update messages set seq = seq + 4 where conversation_id = %(conversation)s"
                " and user_id = %(other)s",
                "delete from conversations",
            ),
            id="orphans",
        ),
        pytest.param((), id="at the same places"),
    ],
)
async def test_rows_of_two_owners_are_not_shown_to_each_other(
    patient: Patient, damage: tuple[str, ...]
) -> None:
    """One gets the conversation with its id, the other one of its own, each with all of theirs."""
    patient.plant(
        "update messages set conversation_id = %(conversation)s where conversation_id = %(others)s",
        "update turns set conversation_id = %(conversation)s where conversation_id = %(others)s",
        *damage,
    )
    before, found = patient.texts(), found_broken(patient.db)
    patient.repair()
    made = patient.db.execute("select count(*) from conversations").fetchone()
    repair(patient.db, found)  # as another doctor, who has found it too
    owners = patient.db.execute(
        "select c.user_id::text, array_agg(distinct m.user_id::text), count(*)"
        " from conversations as c join messages as m on m.conversation_id = c.id group by c.id"
    ).fetchall()
    assert patient.db.execute("select count(*) from conversations").fetchone() == made
    assert (patient.broken(), patient.texts()) == ({}, before)
    assert sorted(owners) == sorted(
        [(patient.owner.id, [patient.owner.id], 4), (patient.other.id, [patient.other.id], 2)]
    )


async def test_what_can_not_be_mended_keeps_nothing_else_from_it(patient: Patient) -> None:
    """Something else is in its way: all that was found beside it is mended."""
    patient.plant(
        "update turns set draft = 'Half an ans' where id = %(first)s",
        "update conversations set last_seq = 9 where id = %(conversation)s",
        "create function pg_temp.refuse() returns trigger language plpgsql as"
        " $$begin raise unique_violation; end$$",
        "create trigger refuse before update on turns"
        " for each row execute function pg_temp.refuse()",
    )
    assert patient.repair() == {"last_seq_wrong"}
    patient.plant("drop trigger refuse on turns")
    assert patient.broken() == {"draft_left_behind": 1}


async def test_what_a_watermark_hid_is_found_again(patient: Patient) -> None:
    """What is stored is searched by its watermark: once that is mended, all of it is found."""
    patient.plant("delete from search.documents where conversation_id = %(conversation)s")
    hidden = await patient.owner.functions.get("/search-messages", params={"q": "two"})
    patient.repair()
    found = await patient.owner.functions.get("/search-messages", params={"q": "two"})
    assert [hit["seq"] for hit in hidden.json()["hits"]] == []
    assert [hit["seq"] for hit in found.json()["hits"]] == [3]
