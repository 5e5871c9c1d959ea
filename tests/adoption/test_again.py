"""An adoption that is ended anywhere goes on, and one that is repeated takes what is new."""

import random
import signal
import subprocess

import psycopg
import pytest

from tests.support.old_chats import Project, chat_id, new_project, old_rows, user_id
from tests.support.postgres import Server
from tests.support.sql_calls import as_service

pytest_plugins = ["tests.support.old_chats"]

KILLS = 4
MESSAGES = 40
CHAT = chat_id(1)


@pytest.fixture
def adopted(project: Project) -> Project:
    """A project whose old tables are adopted, and still written to."""
    project.has(chats=2, messages=4)
    assert project.adopt().code == 0
    return project


@pytest.mark.promise("adoption", red="each statement of a step committed by itself")
def test_killed_at_any_point_it_ends_as_if_it_had_not_been(
    bare_server: Server, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However often, and however far it was; the old tables stay as they were."""
    chance = random.Random(14)  # noqa: S311
    with new_project(bare_server, tmp_path_factory.mktemp("undisturbed")) as undisturbed:
        for each in (undisturbed, project):
            each.has(chats=12, messages=MESSAGES)
        before = old_rows(project)
        assert undisturbed.adopt().code == 0
        points = [chance.randrange(300 * kill, 300 * (kill + 1)) for kill in range(KILLS)]
        killed = [run_until(project, rows=point) for point in points]
        assert any(killed)
        assert project.adopt("--step-rows", "10").code == 0
        assert project.stored() == undisturbed.stored()
        assert (old_rows(project), project.broken()) == (before, {})


def run_until(project: Project, *, rows: int) -> bool:
    """Run the program, in small steps, and kill it once so many rows are there.

    Whenever one looks, a conversation is there whole or not at all.
    """
    look = "select (select count(*) from messages), array_agg(distinct last_seq) from conversations"
    command = project.command("--step-rows", "10")
    with subprocess.Popen(command, **project.process()) as program:
        while program.poll() is None:
            found = project.db.execute(look.encode()).fetchone()
            assert found is not None
            assert found[1] in (None, [MESSAGES])
            if found[0] > rows:
                program.send_signal(signal.SIGKILL)
                return True
    return False


def test_two_at_once_take_every_row_once(project: Project) -> None:
    """Whoever comes second to a conversation finds it there."""
    project.has(chats=20, messages=10)
    commands = [project.command("--step-rows", "20") for _ in range(2)]
    both = [subprocess.Popen(command, **project.process()) for command in commands]
    said = [program.communicate(timeout=120)[0] for program in both]
    assert [program.returncode for program in both] == [0, 0], said
    assert project.db.execute("select count(*) from public.messages").fetchone() == (600,)
    assert project.broken() == {}


def test_a_second_run_takes_what_was_written_since(adopted: Project) -> None:
    """A new message at the end of its conversation, and a new conversation."""
    before = adopted.stored()
    adopted.insert("conversations", id=chat_id(1, 9), user_id=user_id(1))
    new = {adopted.says(CHAT, "Later."), adopted.says(chat_id(1, 9), "New.")}
    said = adopted.adopt()
    after = adopted.stored()
    assert (said.code, adopted.broken()) == (0, {})
    assert {row["id"] for row in after} - {row["id"] for row in before} == new
    assert [row["content"] for row in after if row["conversation"] == CHAT][-1] == "Later."


def test_what_would_come_before_a_message_that_is_here_is_listed(adopted: Project) -> None:
    """Among the old ones, or before one that was written here since."""
    between = adopted.says(CHAT, created_at="2023-01-02 00:00:02")
    assert adopted.adopt().reasons == {between: "out_of_place"}
    with as_service(adopted.url) as service:
        begun = service.begin(user_id(1), conversation_id=CHAT)
        service.complete(begun)
    before_ours = adopted.says(CHAT, created_at="2024-01-01")
    after_ours = adopted.says(CHAT, "Last.")
    said = adopted.adopt()
    assert said.reasons == {between: "out_of_place", before_ours: "out_of_place"}
    assert adopted.stored_message(after_ours)["seq"] == 7
    assert adopted.broken() == {}


@pytest.mark.promise("adoption", red="the ledger not asked")
def test_what_was_deleted_here_does_not_come_back(adopted: Project) -> None:
    """Its old rows are listed instead."""
    adopted.db.execute("delete from public.conversations where id = %s", (CHAT,))
    said = adopted.adopt()
    assert said.reasons.pop(CHAT) == "deleted_since"
    assert len(said.listed) == 5
    assert CHAT not in {row["conversation"] for row in adopted.stored()}


def test_an_id_of_somebody_elses_row_is_left_to_them(project: Project) -> None:
    """What is here already is never changed."""
    project.has(chats=1, messages=1)
    message = project.old_message(chat_id(3))
    project.db.execute(
        "insert into public.conversations (id, user_id) values (%s, %s), (%s, %s)",
        (chat_id(1), user_id(2), "a" * 32, user_id(3)),
    )
    project.db.execute(
        "insert into public.messages (id, conversation_id, user_id, role, content)"
        " values (%s, %s, %s, 'user', 'Mine.')",
        (message, "a" * 32, user_id(3)),
    )
    reasons = project.adopt().reasons
    assert reasons[chat_id(1)] == reasons[message] == "id_taken"
    assert project.stored_message(message)["content"] == "Mine."
    assert project.broken() == {}


def test_into_a_schema_of_another_name_the_old_tables_stay_where_they_are(
    project: Project,
) -> None:
    """The old application goes on in public meanwhile."""
    project.db.execute(
        "alter schema public rename to chat; create schema public;"
        "grant all on schema public to postgres, authenticated"
    )
    project.old_schema = "public"
    project.has(chats=2, messages=4)
    said = project.adopt("--to", "chat")
    project.says(CHAT, "Later.")
    assert (said.code, project.adopt("--to", "chat").code) == (0, 0)
    assert len(project.stored("chat")) == 25
    with psycopg.connect(project.owner_url) as owner:
        assert owner.execute("select count(*) from public.messages").fetchone() == (25,)
