"""What a project's database says: what stops an install, and what is worth reading."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from shared.install import __main__ as program
from shared.install.__main__ import DONE, STOPPED, UNREACHABLE
from shared.install.database import Database, UnreachableError
from tests.support.installed import FOUND, contents, ours_in, run, run_beside

STANDING_IN_THE_WAY: dict[str, tuple[dict[str, Any], str]] = {
    "an old Postgres": ({"version": 14}, "15 is the oldest"),
    "no Supabase": ({"missing": ["auth.uid()"]}, "auth.uid()"),
    "migrations that are not in the folder": (
        {"history": ["20250101000000", "20250202000000"]},
        "20250202000000, which this folder lacks",
    ),
    "a table": ({"relations": {"chat.messages"}}, "tables of these names: chat.messages"),
    "an index": ({"relations": {"chat.idx_turns_user_id"}}, "chat.idx_turns_user_id"),
    "a function": ({"routines": {"chat_private.require_self"}}, "chat_private.require_self"),
    "a policy": ({"policies": {"chat_listen_to_own_conversation"}}, "policies on realtime"),
    "a job": ({"jobs": {"chat-sweep-turns"}}, "jobs of pg_cron"),
}


@pytest.mark.parametrize("what", STANDING_IN_THE_WAY)
def test_what_stands_in_the_way_is_said_and_nothing_is_written(
    project: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table, with an X; negative control: without it, the same database is no obstacle."""
    change, said = STANDING_IN_THE_WAY[what]
    before = contents(project)
    database = dataclasses.replace(FOUND, **change)
    assert run_beside(database, project, "--schema", "chat") == STOPPED
    rows = " ".join(capsys.readouterr().out.split())
    assert said in rows
    assert rows.count("X ") == 1
    assert contents(project) == before
    assert run_beside(FOUND, project, "--schema", "chat") == DONE


WORTH_READING: dict[str, tuple[dict[str, Any], str]] = {
    "a Postgres that was not tried": ({"version": 16}, "not tried"),
    "no pg_cron": ({"jobs": None}, "no pg_cron"),
    "no right to Realtime's policies": ({"may_make_policies": False}, "may not make a policy"),
    "policies of the project's own": ({"policies": {"everybody"}}, "everybody"),
    "what is served": ({"exposed": ["public", "chat"]}, "it serves public, chat"),
}


@pytest.mark.parametrize("what", WORTH_READING)
def test_what_is_worth_reading_does_not_stop(
    project: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a row of the table."""
    change, said = WORTH_READING[what]
    assert run_beside(dataclasses.replace(FOUND, **change), project, "--schema", "chat") == DONE
    assert said in " ".join(capsys.readouterr().out.split())


def test_a_migration_that_was_put_between_others_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The CLI takes it only if asked for."""
    (project / "supabase/migrations/20250202000000_late.sql").write_text("")
    database = dataclasses.replace(FOUND, history=["20250202000000"])
    assert run_beside(database, project, "--schema", "chat") == DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "20250101000000 of this folder were not pushed" in said
    assert "--include-all" in said


def test_tables_of_an_install_that_was_pushed_are_no_obstacle(project: Path) -> None:
    """They are ours by the migrations' history; a second run has nothing to do."""
    run(project, "--schema", "chat")
    versions = [path.name.partition("_")[0] for path in ours_in(project)]
    pushed = dataclasses.replace(
        FOUND, relations={"chat.messages"}, history=["20250101000000", *versions]
    )
    before = contents(project)
    assert run_beside(pushed, project) == DONE
    assert contents(project) == before
    assert run_beside(FOUND, project) == DONE


def test_a_file_that_was_pushed_from_elsewhere_comes_before_ours(project: Path) -> None:
    """Ours is behind the newest of the folder and of the database."""
    late = dataclasses.replace(FOUND, history=["20250101000000", "20991231235959"])
    (project / "supabase/migrations/20991231235959_late.sql").write_text("")
    assert run_beside(late, project, "--schema", "chat") == DONE
    assert ours_in(project)[0].name.startswith("21000101000000_")


def test_a_database_that_is_away_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written without a look that was asked for."""

    def away(_url: str, _schemas: list[str]) -> Database:
        raise UnreachableError

    monkeypatch.setattr(program, "look_at", away)
    before = contents(project)
    assert run(project, "--database-url", "postgresql://there") == UNREACHABLE
    assert contents(project) == before


def test_a_local_stacks_settings_name_no_database_to_look_at(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say `off`, and a shell that has read `.env.local` installs as one that hasn't."""
    monkeypatch.setenv("SUPABASE_DB_URL", "off")
    assert run(project) == DONE
    assert "not looked at" in capsys.readouterr().out
