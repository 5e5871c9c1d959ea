"""What an install and a removal do to a project's folder, and when they don't."""

from pathlib import Path

import pytest

from local.settings import ROOT
from shared.install.__main__ import DONE, MISUSED, STOPPED, UNREACHABLE
from shared.install.migrations import migrations_for
from shared.install.names import Names
from tests.support.installed import CONFIG, OURS, contents, ours_in, run


def test_an_install_writes_the_migrations_the_forwarders_and_the_settings(project: Path) -> None:
    """And changes nothing of the project's own, but for what is added to its config.toml."""
    before = contents(project)
    assert run(project, "--schema", "chat") == DONE
    after = contents(project)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"supabase/config.toml"}
    wanted = migrations_for(Names("chat"), ROOT / "supabase" / "migrations")
    assert [path.read_text() for path in ours_in(project)] == [m.text for m in wanted]
    assert len(list((project / "supabase" / "functions").glob("*/index.ts"))) == OURS + 1
    forwarder = (project / "supabase/functions/mega-mind/index.ts").read_text()
    assert 'from "../_shared/message-persistence.ts"' in forwarder
    assert b"DATABASE_SCHEMA=chat\n" in after["supabase/message-persistence.env.example"]


@pytest.mark.parametrize("options", [(), ("--schema", "chat")])
def test_a_second_run_has_nothing_to_do(
    project: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it isn't said again which schema it was."""
    run(project, "--schema", "chat")
    before = contents(project)
    capsys.readouterr()
    assert run(project, *options) == DONE
    assert "nothing: it is all there" in capsys.readouterr().out
    assert contents(project) == before


def test_a_second_run_brings_only_what_is_new(project: Path) -> None:
    """A forwarder that is missing, one of an older version; not one that the project changed."""
    run(project, "--schema", "chat")
    before = contents(project)
    functions = project / "supabase/functions"
    (functions / "health/index.ts").unlink()
    (functions / "conversations/index.ts").write_text("// changed by hand\n")
    (functions / "mega-mind/index.ts").write_text(
        before["supabase/functions/mega-mind/index.ts"].decode() + "// changed\n"
    )
    assert run(project) == DONE
    after = contents(project)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {
        "supabase/functions/conversations/index.ts",
        "supabase/functions/mega-mind/index.ts",
    }


def test_a_rehearsal_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says the same."""
    before = contents(project)
    assert run(project, "--schema", "chat", "--dry-run") == DONE
    assert contents(project) == before
    said = capsys.readouterr().out
    assert "supabase/functions/mega-mind/index.ts" in said


@pytest.mark.promise("installing", red="the line before the block left in the file")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_removal_leaves_the_projects_files_byte_for_byte(project: Path, end: str) -> None:
    """But for the migrations, which a database may have: two more of them take it back."""
    config = project / "supabase/config.toml"
    config.write_bytes(CONFIG.replace("\n", end).encode())
    before = contents(project)
    run(project, "--schema", "chat")
    ours = {str(path.relative_to(project)) for path in ours_in(project)}
    assert run(project, "--remove", "--with-data") == DONE
    after = contents(project)
    added = after.keys() - before.keys() - ours
    assert {name: after[name] for name in before} == before
    assert sorted(name.partition("_")[2] for name in added) == [
        "remove_message_persistence.sql",
        "remove_message_persistence_policy.sql",
    ]
    assert run(project, "--remove") == DONE
    assert contents(project) == after
    assert run(project, "--schema", "chat") == DONE


def test_a_removal_that_keeps_the_rows_keeps_them_served(project: Path) -> None:
    """And stands in the way of another install until the rows go too."""
    run(project, "--schema", "chat")
    assert run(project, "--remove") == DONE
    assert b'"chat"' in (project / "supabase/config.toml").read_bytes()
    assert not (project / "supabase/functions/mega-mind").exists()
    assert run(project, "--schema", "chat") == STOPPED
    assert run(project, "--remove", "--with-data") == DONE
    assert (project / "supabase/config.toml").read_text() == CONFIG
    assert run(project, "--schema", "chat") == DONE


def test_files_are_removed_though_the_migrations_are_gone_already(project: Path) -> None:
    """Somebody deleted them by hand, since they were never pushed."""
    before = contents(project)
    run(project, "--schema", "chat")
    for path in ours_in(project):
        path.unlink()
    assert run(project, "--remove") == DONE
    assert contents(project) == before


def test_what_was_changed_since_is_not_removed(project: Path) -> None:
    """A forwarder with a line of the project's own stays, and so does a function of its own."""
    own = project / "supabase/functions/health/index.ts"
    own.parent.mkdir()
    own.write_text("// theirs\n")
    run(project, "--schema", "chat")
    forwarder = project / "supabase/functions/mega-mind/index.ts"
    forwarder.write_text(forwarder.read_text() + "// theirs\n")
    assert run(project, "--remove") == DONE
    assert own.read_text() == "// theirs\n"
    assert forwarder.exists()


@pytest.mark.parametrize("file", ["index.ts", "main.js"])
def test_a_function_of_the_projects_own_stays(
    project: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said that ours of that name is elsewhere; the platform's check of it is left alone."""
    own = project / "supabase/functions/health" / file
    own.parent.mkdir()
    own.write_text("// theirs\n")
    assert run(project, "--schema", "chat") == DONE
    assert [path.read_text() for path in own.parent.iterdir()] == ["// theirs\n"]
    assert "health is the project's own" in capsys.readouterr().out
    assert "functions.health" not in (project / "supabase/config.toml").read_text()


def test_another_version_of_the_schema_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was written stays as it is: a database may have it."""
    run(project, "--schema", "chat")
    first = ours_in(project)[0]
    text = first.read_text()
    digest = text.partition("\n")[0].rpartition(" ")[2]
    first.write_text(text.replace(digest, "0" * 64))
    before = contents(project)
    assert run(project) == STOPPED
    assert "of another version than this checkout" in " ".join(capsys.readouterr().out.split())
    assert contents(project) == before


@pytest.mark.parametrize("schema", ["public", "other"])
def test_a_second_schema_is_refused(project: Path, schema: str) -> None:
    """The forwarders of a project lead to one service, which has one schema."""
    run(project, "--schema", "chat")
    assert run(project, "--schema", schema) == STOPPED


def test_what_is_wrong_is_one_line(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No project, no name, no database."""
    assert run(tmp_path) == MISUSED
    assert "supabase init" in capsys.readouterr().err
    assert run(ROOT) == MISUSED
    assert "is this checkout" in capsys.readouterr().err
    config = project / "supabase/config.toml"
    config.write_bytes(b"\xef\xbb\xbf[api")
    assert run(project) == MISUSED
    assert "can't be read" in capsys.readouterr().err
    config.write_text(CONFIG)
    assert run(project, "--schema", "Chat") == MISUSED
    assert "'Chat'" in capsys.readouterr().err
    nowhere = "postgresql://postgres:canary@127.0.0.1:9/postgres"
    assert run(project, "--database-url", nowhere) == UNREACHABLE
    assert "canary" not in capsys.readouterr().err


def test_a_check_of_tokens_that_the_project_has_switched_on_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a function of ours that config.toml names already; there is none by itself."""
    config = project / "supabase/config.toml"
    config.write_text(CONFIG + "[functions.mega-mind]\nverify_jwt = true\n")
    run(project, "--dry-run")
    assert "verify_jwt is on for mega-mind:" in " ".join(capsys.readouterr().out.split())
    config.write_text(CONFIG)
    run(project, "--dry-run")
    assert "verify_jwt" not in capsys.readouterr().out


def test_a_setting_that_is_there_already_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name alone, with its file; files with secrets are never written to."""
    run(project, "--schema", "chat")
    said = capsys.readouterr().out
    assert ".env has SUPABASE_URL" in said
    assert "x.supabase.co" not in said


def test_a_folder_that_cannot_be_written_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the run that comes after it brings what was left out."""
    folder = project / "supabase/migrations"
    folder.rename(project / "moved")
    folder.write_text("")
    assert run(project, "--schema", "chat") == STOPPED
    assert "Not all was written" in capsys.readouterr().err
    folder.unlink()
    (project / "moved").rename(folder)
    assert run(project, "--schema", "chat") == DONE
    assert ours_in(project)
