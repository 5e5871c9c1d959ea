"""Odd rows of old tables: each is stored with a note of what it was, or listed with a reason."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import database
from tests.support.old_chats import TABLES, Project, chat_id, new_project, user_id
from tests.support.postgres import Server, programs_of, running_server

pytest_plugins = ["tests.support.old_chats"]

LOOSE = TABLES.replace(" not null check (role in ('user', 'assistant', 'system'))", "").replace(
    " references public.conversations on delete cascade", ""
).replace(" references auth.users", "")  # fmt: skip
NOBODY = "00000000-0000-4000-8000-000000000000"
CHAT = chat_id(1)


def deep(levels: int) -> Any:
    """Return an object that nests so deep."""
    return json.loads('{"a":' * levels + "1" + "}" * levels)


# Columns of an old message, those of the new one, and its note.
STORED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
    "ai": ({"role": "ai"}, {"role": "assistant"}, {"role": "ai"}),
    "human": ({"role": "Human"}, {"role": "user"}, {"role": "Human"}),
    "function": ({"role": "function"}, {"role": "system"}, {"role": "function"}),
    "no role": ({"role": None}, {"role": "system"}, {"role": None}),
    "a summary": ({"role": "system", "is_summary": True}, {"is_summary": True}, None),
    "a summary by the AI": (
        {"role": "assistant", "is_summary": True}, {"is_summary": False}, {"is_summary": True}),
    "no content": ({"content": None, "generated_code": "x"},
                   {"content": "", "generated_code": "x"}, {"content": None}),
    "metadata is a list": ({"metadata": ["a", 1]}, {}, {"metadata": ["a", 1]}),
    "metadata is deep": ({"metadata": deep(200)}, {}, {"metadata": json.dumps(deep(200))}),
    "metadata has the note's name": (
        {"metadata": {"a": 1, "adopted": 2}, "tokens": 7},
        {"metadata": {"a": 1, "adopted": {"tokens": 7, "adopted": 2}}},
        {"tokens": 7, "adopted": 2}),
    "JSON with a NUL": ({"steps": '{"a": "\\u0000"}'}, {}, {"steps": '{"a": "\\u0000"}'}),
    "JSON": ({"steps": "[1, 2]"}, {}, {"steps": [1, 2]}),
    "infinity": ({"created_at": "infinity"}, {"seq": 2}, {"created_at": "infinity"}),
    "to come": ({"created_at": "2999-01-01"}, {"created_at": "2023-01-01T00:00:00.000001+00:00"},
                {"created_at": "2999-01-01T00:00:00+00:00"}),
    "no time": ({"created_at": None}, {"created_at": "2023-01-01T00:00:00.000001+00:00"},
                {"created_at": None}),
    "before all times": ({"created_at": "-infinity"},
                         {"created_at": "1970-01-01T00:00:00+00:00", "seq": 1},
                         {"created_at": "-infinity"}),
    "a bot's": ({"role": "assistant", "user_id": NOBODY}, {"user_id": user_id(1)},
                {"user_id": NOBODY}),
    "nobody's": ({"user_id": None}, {"user_id": user_id(1)}, None),
}  # fmt: skip

# Columns of an old message that is not taken, and why.
LISTED: dict[str, tuple[dict[str, Any], str]] = {
    "in none": ({"conversation_id": None}, "no_conversation"),
    "in a missing one": ({"conversation_id": NOBODY}, "no_conversation"),
    "another user's": ({"user_id": user_id(2)}, "of_another_user"),
    "an unknown user's": ({"user_id": NOBODY}, "of_another_user"),
    "a reply to another": ({"user_id": user_id(2), "role": "assistant"}, "of_another_user"),
    "marked as deleted": ({"deleted_at": "2024-01-01"}, "deleted_in_the_old_table"),
    "with nobody": ({"conversation_id": "b" * 32}, "conversation_no_user"),
    "with one who is gone": ({"conversation_id": "c" * 32}, "conversation_user_unknown"),
    "in a deleted one": ({"conversation_id": "d" * 32}, "conversation_deleted_in_the_old_table"),
}

TITLES: dict[str | None, tuple[str, dict[str, str] | None]] = {
    None: ("New Chat", None),
    "": ("New Chat", {"title": ""}),
    "t" * 201: ("t" * 200, {"title": "t" * 201}),
    " Hi ": ("Hi", {"title": " Hi "}),
}


def name_of(case: str | None) -> str:
    """Return the id of a case's rows."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(case)))


def plant(project: Project) -> None:
    """Insert a row for each case, those that are stored each in a conversation of its own."""
    times = {"created_at": "2022-01-01", "updated_at": "2022-01-02"}
    for case, (columns, _, _) in STORED.items():
        project.insert("conversations", id=name_of(case), user_id=user_id(1), **times)
        project.says(name_of(case), created_at="2023-01-01", id=name_of(f"before {case}"))
        project.says(name_of(case), **{"id": name_of(case), "created_at": "2022-06-01", **columns})
    for letter, owner in (("b", None), ("c", NOBODY)):
        project.insert("conversations", id=letter * 32, user_id=owner)
    project.insert("conversations", id="d" * 32, user_id=user_id(1), is_deleted=True)
    for case, (columns, _) in LISTED.items():
        project.says(chat_id(1), **{"id": name_of(case), **columns})
    for title in TITLES:
        project.insert("conversations", id=name_of(title), user_id=user_id(1), title=title, **times)


def new_odd_project(project: Project) -> Project:
    """Give a project tables that checked nothing, with every kind of odd row."""
    project.has(LOOSE, chats=1, messages=2)
    old = project.old_schema
    project.db.execute(f"alter table {old}.conversations add column is_deleted boolean".encode())
    project.db.execute(
        f"alter table {old}.messages add column deleted_at timestamptz,"
        " add column tokens int, add column steps json".encode()
    )
    plant(project)
    return project


@pytest.fixture(scope="module")
def odd(bare_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with every kind of odd row."""
    with new_project(bare_server, tmp_path_factory.mktemp("odd")) as project:
        yield new_odd_project(project)


@pytest.fixture(scope="module")
def reasons(odd: Project) -> dict[str, str]:
    """Why each row was left out."""
    return adopt(odd)


def adopt(project: Project) -> dict[str, str]:
    """Adopt the tables; return why each row was left out."""
    said = project.adopt()
    assert said.code == (1 if said.listed else 0), said.text
    assert project.broken() == {}
    return said.reasons


@pytest.mark.promise("adoption", red="a message's own key `adopted` overwritten by the note")
@pytest.mark.parametrize("case", STORED)
def test_what_can_not_be_stored_as_it_was_is_noted(
    odd: Project, reasons: dict[str, str], case: str
) -> None:
    """The old value stands under metadata.adopted, by its column's name."""
    _, stored, note = STORED[case]
    found = odd.stored_message(name_of(case))
    assert {**found, **stored} == found
    assert found["metadata"].get("adopted") == note


@pytest.mark.promise("adoption", red="messages of another user taken")
def test_what_can_not_be_taken_is_listed_and_nothing_else_is(
    odd: Project, reasons: dict[str, str]
) -> None:
    """Each row with why; all of them stay in the old tables."""
    expected = {name_of(case): reason for case, (_, reason) in LISTED.items()}
    for letter, case in (("b", "with nobody"), ("c", "with one who is gone"),
                         ("d", "in a deleted one")):  # fmt: skip
        expected[str(uuid.UUID(letter * 32))] = LISTED[case][1].removeprefix("conversation_")
    assert reasons == expected


@pytest.mark.parametrize("title", TITLES)
def test_a_title_fits(odd: Project, reasons: dict[str, str], title: str | None) -> None:
    """What was cut is noted."""
    found = next(row for row in odd.stored() if row["conversation"] == name_of(title))
    assert (found["title"], found["about"].get("adopted")) == TITLES[title]


@pytest.mark.parametrize("major", [15, 17])
def test_it_is_the_same_on_an_older_server(
    odd: Project, reasons: dict[str, str], tmp_path: Path, major: int
) -> None:
    """From the move on; the other tests have the newest one."""
    programs = programs_of(major)
    if programs is None:
        pytest.skip(f"no PostgreSQL {major} server on this machine (only its programs are needed)")
    with running_server(programs) as server, server.database() as url:
        database.shape(url)
        project = new_odd_project(Project(url, tmp_path, "public"))
        project.move_aside()
        assert adopt(project) == reasons
        assert project.stored() == odd.stored()
        project.db.close()


def test_times_without_a_zone_are_utc_and_missing_columns_are_no_matter(project: Project) -> None:
    """As Supabase's clock is, whatever zone the program's own machine has."""
    project.has(chats=1, messages=2)
    project.db.execute("alter table legacy_chat.messages drop column metadata, drop column user_id,"
                       " drop column is_summary, drop column generated_code,"
                       " alter column created_at type timestamp")  # fmt: skip
    project.db.execute("alter table legacy_chat.conversations drop column updated_at,"
                       " drop column project_id, drop column title")  # fmt: skip
    message = project.says(CHAT, created_at="2023-06-01 12:00:00")
    assert adopt(project) == {}
    found = project.stored_message(message)
    assert (found["created_at"], found["metadata"]) == ("2023-06-01T12:00:00+00:00", {})


def test_numbers_as_ids_become_the_same_uuids_each_time(project: Project) -> None:
    """Old links can be followed: the number is noted, and counts for the order."""
    project.has(TABLES.replace("id uuid primary key default gen_random_uuid()",
                               "id bigserial primary key")
                .replace("conversation_id uuid", "conversation_id bigint"), chats=0)  # fmt: skip
    project.db.execute("insert into auth.users (id) values (%s)", (user_id(1),))
    project.insert("conversations", id=7, user_id=user_id(1), created_at="2023-01-01")
    for number in (9, 10, 8):
        project.says(7, id=number, content=str(number), created_at="2023-01-01")  # type: ignore[arg-type]
    assert adopt(project) == {}
    stored = project.stored()
    assert [row["content"] for row in stored] == ["8", "9", "10"]
    assert [row["metadata"]["adopted"]["id"] for row in stored] == [8, 9, 10]
    assert project.adopt().code == 0
    assert project.stored() == stored


def test_a_row_that_the_new_table_refuses_is_listed(project: Project) -> None:
    """Whatever refuses it, a check that can be seen before or a trigger; the others are stored."""
    project.has(chats=2, messages=30)
    large, loud = project.says(CHAT, "x" * 5000), project.says(CHAT, "!" * 10)
    project.db.execute("alter table public.messages add constraint messages_size"
                       " check (octet_length(content) < 4000)")  # fmt: skip
    project.db.execute(
        "create function private.refuse_loud() returns trigger language plpgsql as"
        " $$ begin raise exception 'Too loud.' using errcode = 'PT422'; end $$;"
        "create trigger loud before insert on public.messages for each row"
        " when (new.content like '!%') execute function private.refuse_loud()"
    )
    planned = project.adopt("--dry-run")
    done = project.adopt()
    assert planned.reasons == {large: "refused: messages_size"}
    assert done.reasons == {large: "refused: messages_size", loud: "refused: Too loud."}
    assert project.db.execute("select count(*) from public.messages").fetchone() == (180,)
    assert project.broken() == {}
