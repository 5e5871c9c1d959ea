"""The doctor's table, and what it promises for each check."""

import uuid
from typing import Any

import pytest
import respx

from shared.doctor import NO_REMEDY, REMEDIES, UNREACHABLE, main, table_of
from shared.models.integrity import InvariantCheck
from shared.persistence.integrity import SCHEMA_VERSION
from tests.support.unit_settings import URL, unit_settings


def check(name: str, *examples: uuid.UUID, repairable: bool = True) -> InvariantCheck:
    return InvariantCheck(
        name=name, broken=len(examples), examples=list(examples), repairable=repairable
    )


def test_each_example_has_a_line_in_one_column() -> None:
    """The counts end in one column, the examples begin in one, and only damage has a remedy."""
    ids = [uuid.uuid4() for _ in range(3)]
    lines = table_of([check("seq_tie"), check("last_seq_wrong", *ids)]).splitlines()
    assert lines[1] == "seq_tie              0"
    assert [line.index(str(example)) for line, example in zip(lines[2:], ids, strict=True)] == [
        lines[0].index("example")
    ] * 3
    assert lines[2].endswith(REMEDIES["last_seq_wrong"])
    assert lines[3].endswith(str(ids[1]))


def test_what_can_not_be_mended_says_so() -> None:
    """Whatever its name: the store decides."""
    table = table_of([check("turn_without_message", uuid.uuid4(), repairable=False)])
    assert table.endswith(NO_REMEDY)


def test_a_check_of_a_newer_store_is_shown_too() -> None:
    """The migrations may be ahead of this code."""
    assert "something_new" in table_of([check("something_new", uuid.uuid4())])


@pytest.mark.parametrize("grace", ["-1", "soon", "1e9", str(2**31)])
def test_a_grace_that_is_no_number_of_seconds_is_refused(
    grace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the usage, before anything is asked."""
    with pytest.raises(SystemExit) as refused:
        main(["--grace", grace])
    assert refused.value.code == 2
    assert "--grace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "answer"), [(404, {"code": "PGRST202"}), (200, {"version": "20260101000000"})]
)
def test_a_schema_that_is_behind_is_said_with_the_migration_that_is_missing(
    status: int,
    answer: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether it can say its version yet or not; nothing else is asked."""
    monkeypatch.setattr("shared.doctor.load_settings", unit_settings)
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/ping").respond(status, json=answer)
        assert main([]) == UNREACHABLE
    assert SCHEMA_VERSION in capsys.readouterr().err


def test_a_schema_that_is_not_exposed_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the setting that names it."""
    settings = unit_settings(database_schema="chat")
    monkeypatch.setattr("shared.doctor.load_settings", lambda: settings)
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/ping").respond(406, json={"code": "PGRST106"})
        assert main([]) == UNREACHABLE
    assert "schema chat (DATABASE_SCHEMA)" in capsys.readouterr().err
