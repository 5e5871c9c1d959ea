"""Our migrations among a project's own: their versions, and what an earlier run has left."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.database import MIGRATIONS
from shared.install.migrations import migrations_for, read_state, versions_after
from shared.install.names import Names

NOW = datetime(2026, 11, 27, 12, 30, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("taken", "versions"),
    [
        ([], ["20261127123059", "20261127123100"]),
        (["20250101000000"], ["20261127123059", "20261127123100"]),
        (["0001", "0002"], ["20261127123059", "20261127123100"]),
        (["20261127123059"], ["20261127123100", "20261127123101"]),
        (["20301231235959"], ["20310101000000", "20310101000001"]),
        (["20269999999999"], ["20270000000000", "20270000000001"]),
        (["99990000000001"], ["99990000000002", "99990000000003"]),
    ],
)
def test_a_new_version_comes_behind_all_others(taken: list[str], versions: list[str]) -> None:
    """Now, or right behind the newest one, also where that is no time."""
    assert versions_after(taken, 2, NOW) == versions


def test_what_was_written_is_known_again(tmp_path: Path) -> None:
    """By its first line, whatever its name is now; other files are none of ours."""
    wanted = migrations_for(Names("chat"), MIGRATIONS)
    for number, migration in enumerate(wanted):
        text = migration.text.replace("\n", "\r\n" if number % 2 else "\n")
        (tmp_path / f"{number}_renamed.sql").write_bytes(text.encode())
    (tmp_path / "9_notes.sql").write_text("create table public.notes ();")
    state = read_state(tmp_path)
    assert state.schema == "chat"
    assert [(w.name, w.digest) for w in state.written] == [(m.name, m.digest) for m in wanted]
    assert [w.body for w in state.written] == [m.body for m in wanted]


@pytest.mark.parametrize(
    ("header", "schema", "left"), [("without its data", None, True), ("with its data", None, False)]
)
def test_after_a_removal_nothing_is_installed(
    header: str, schema: str | None, left: bool, tmp_path: Path
) -> None:
    """Its tables may be left; a later install counts again."""
    (first, *_) = migrations_for(Names("chat"), MIGRATIONS)
    (tmp_path / "1_ours.sql").write_text(first.text)
    removal = f"-- message-persistence: removed {header}, schema chat, {'0' * 64}\n"
    (tmp_path / "2_remove.sql").write_text(removal)
    state = read_state(tmp_path)
    assert (state.schema, bool(state.left)) == (schema, left)
    (tmp_path / "3_ours.sql").write_text(first.text)
    assert read_state(tmp_path).schema == "chat"
