"""An erasure reaches the old tables that were moved aside."""

import pytest

from tests.support.old_chats import Project, chat_id, user_id
from tests.support.sql_calls import as_service

pytest_plugins = ["tests.support.old_chats"]

MESSAGES = 4
OLD = """
select count(*), count(*) filter (
    where m.user_id::text = %(user)s or c.user_id::text = %(user)s or m.content = 'Of mine.'
)
from legacy_chat.messages as m
left join legacy_chat.conversations as c on c.id::text = m.conversation_id::text
"""
TEXTS = """
create table public.conversations (id serial primary key, user_id text, title text);
create table public.messages (
    id bigserial primary key, conversation_id int references public.conversations,
    answers bigint references public.messages, role text, content text
);
"""


@pytest.fixture
def adopted(early_project: Project) -> Project:
    """A project whose old tables were moved aside and adopted, one message left out."""
    early_project.has(chats=3, messages=MESSAGES)
    early_project.says(chat_id(2), "Of mine.", user_id=user_id(1))
    early_project.move_aside()
    early_project.adopt()
    return early_project


def left_of(project: Project, user: str) -> tuple[int, int]:
    """Return how many old messages there are, and how many of this user."""
    row = project.db.execute(OLD.encode(), {"user": user}).fetchone()
    assert row is not None
    return row[0], row[1]


def erase(project: Project, user: str) -> dict[str, object]:
    """Erase a user as the endpoint does, until nothing is left."""
    with as_service(project.url) as service:
        while True:
            receipt: dict[str, object] = service.call(
                "erase_account", user_id=user, idempotency_key="key"
            )
            if receipt["remaining"] == 0:
                return receipt


@pytest.mark.promise("erasure", red="`erase_account` leaves legacy_chat")
def test_what_was_erased_is_in_no_old_table(adopted: Project) -> None:
    """Nor what the user wrote into others' conversations; theirs stay, and so does the receipt."""
    assert left_of(adopted, user_id(1)) == (9 * MESSAGES + 1, 3 * MESSAGES + 1)
    receipt = erase(adopted, user_id(1))
    assert (receipt["conversations"], receipt["messages"]) == (3, 3 * MESSAGES)
    assert receipt["erased_at"] is not None
    assert left_of(adopted, user_id(1)) == (6 * MESSAGES, 0)
    said = adopted.adopt()
    assert said.code == 0, said.text
    assert len({row["owner"] for row in adopted.stored()}) == 2


def test_while_a_hold_keeps_a_conversation_the_old_rows_stay(adopted: Project) -> None:
    """Since no hold knows which of them it is about."""
    adopted.db.execute("select place_legal_hold(%s, 'A case', %s)", (user_id(1), chat_id(1)))
    assert erase(adopted, user_id(1))["held"] == 1
    assert left_of(adopted, user_id(1)) == (9 * MESSAGES + 1, 3 * MESSAGES + 1)


def test_a_step_ends_in_time_and_the_next_one_goes_on(adopted: Project) -> None:
    """One conversation at least."""
    step = "select legacy_chat.erase_user(%s, clock_timestamp() - interval '1 second')"
    said = [adopted.db.execute(step, (user_id(1),)).fetchone() for _ in range(4)]
    assert said == [(True,), (True,), (True,), (False,)]
    assert left_of(adopted, user_id(1)) == (6 * MESSAGES, 0)


def test_old_ids_may_be_numbers_and_users_texts(early_project: Project) -> None:
    """In upper case, too; a message that points at another goes with it."""
    early_project.has(TEXTS, chats=0)
    mine, other = user_id(1), user_id(2)
    for user in (mine.upper(), other):
        early_project.db.execute("insert into auth.users (id) values (%s)", (user,))
        early_project.insert("conversations", user_id=user)
    early_project.db.execute(
        "insert into public.messages (conversation_id, answers, role, content)"
        " select c, nullif(c, 1), 'user', 'Hello'"
        " from generate_series(1, 2) as c, generate_series(1, 3) order by c desc"
    )
    early_project.move_aside()
    erase(early_project, mine)
    kept = early_project.db.execute(
        "select array_agg(user_id), (select count(*) from legacy_chat.messages)"
        " from legacy_chat.conversations"
    ).fetchone()
    assert kept == ([other], 3)
