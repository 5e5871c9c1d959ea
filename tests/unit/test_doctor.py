"""The doctor's table, and what it promises for each check."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
import respx

from shared.doctor import (
    MISCONFIGURED,
    NO_REMEDY,
    REMEDIES,
    UNREACHABLE,
    Report,
    _print_report,
    main,
    table_of,
)
from shared.integrity.examination import Findings, check_everything, repair_everything
from shared.models.integrity import (
    BrokenRow,
    InvariantStep,
    MissingPart,
    RepairReport,
)
from shared.persistence import Persistence
from shared.persistence.integrity import SCHEMA_VERSION
from tests.support.unit_settings import URL, unit_settings


def test_each_example_has_a_line_in_one_column() -> None:
    """The counts end in one column, the examples begin in one, and only damage has a remedy."""
    ids = [uuid.uuid4() for _ in range(3)]
    lines = table_of({"seq_tie": [], "last_seq_wrong": ids}).splitlines()
    assert lines[1] == "seq_tie              0"
    assert [line.index(str(example)) for line, example in zip(lines[2:], ids, strict=True)] == [
        lines[0].index("example")
    ] * 3
    assert lines[2].endswith(REMEDIES["last_seq_wrong"])
    assert lines[3].endswith(str(ids[1]))


def test_what_can_not_be_mended_says_so() -> None:
    """What was said can't be made up."""
    table = table_of({"turn_without_message": [uuid.uuid4()]})
    assert table.endswith(NO_REMEDY)


def test_a_check_of_a_newer_store_is_shown_too() -> None:
    """The migrations may be ahead of this code."""
    assert "something_new" in table_of({"something_new": [uuid.uuid4()]})


class Stepping:
    """A store whose check takes three steps, of which two find the same conversation broken."""

    def __init__(self) -> None:
        self.places: list[Any] = []
        self.left = [["seq_gap"], ["seq_gap", "key_used_twice"], []]

    async def check_invariants(
        self, *, grace_seconds: int, after: dict[str, Any] | None
    ) -> InvariantStep:
        """Take the next step."""
        self.places.append(after)
        names = self.left.pop(0)
        return InvariantStep(
            checks=["key_used_twice", "seq_gap"],
            broken=[BrokenRow(name=name, user_id=SOMEBODY, id=SOMEBODY) for name in names],
            rows=1000,
            next={"stage": "turns", "id": len(self.left)} if self.left else None,
        )


SOMEBODY = uuid.uuid4()


async def test_a_check_goes_step_by_step_and_shows_how_far_it_is() -> None:
    """Each begins where the one before ended, and what spans two of them is counted once."""
    store, said = Stepping(), list[str]()
    found = await check_everything(store, grace_seconds=1, say=said.append)  # type: ignore[arg-type]
    assert store.places == [None, {"stage": "turns", "id": 2}, {"stage": "turns", "id": 1}]
    assert said == ["1000 rows looked at, now turns", "2000 rows looked at, now turns"]
    assert [len(found.of(name)) for name in ("key_used_twice", "seq_gap")] == [1, 1]


async def test_a_repair_asks_for_a_few_things_at_a_time() -> None:
    """So that each call ends in time; in the order in which they can be mended."""
    found = Findings(checks=["key_used_twice", "seq_gap"])
    rows = [BrokenRow(name="seq_gap", user_id=SOMEBODY, id=uuid.uuid4()) for _ in range(45)]
    rows.append(BrokenRow(name="key_used_twice", user_id=SOMEBODY, id=uuid.uuid4()))
    found.add(InvariantStep(checks=found.checks, broken=rows, rows=46, next=None))
    asked: list[Sequence[BrokenRow]] = []

    class Store(Persistence):
        def __init__(self) -> None:
            pass

        async def check_invariants(self, **_: Any) -> InvariantStep:
            broken = [] if asked else rows
            return InvariantStep(checks=found.checks, broken=broken, rows=46, next=None)

        async def repair_invariants(
            self, user_id: uuid.UUID, broken: Sequence[BrokenRow]
        ) -> RepairReport:
            asked.append(broken)
            return RepairReport(repaired={"seq_gap": len(broken)})

    repaired, left = await repair_everything(Store(), grace_seconds=1, say=lambda _: None)
    assert [len(some) for some in asked] == [20, 20, 6]
    assert asked[0][0].name == "key_used_twice"
    assert (repaired, left.of("seq_gap")) == ({"seq_gap": 46}, [])


def test_what_the_platform_refused_is_shown_with_what_mends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And all is not well then."""
    part = MissingPart(name="listen_policy", remedy="create it;")
    report = Report(missing={part.name: part})
    _print_report(report, as_json=False)
    out = capsys.readouterr().out
    assert not report.is_well
    assert "Nobody can listen to live events" in out
    assert "\ncreate it;\n" in out
    assert out.endswith("Missing: listen_policy.\n")


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
    ("status", "answer", "said"),
    [
        (404, {"code": "PGRST202"}, SCHEMA_VERSION),
        (200, {"version": "20260101000000"}, SCHEMA_VERSION),
        (406, {"code": "PGRST106"}, "schema chat (DATABASE_SCHEMA)"),
    ],
    ids=["behind", "behind, by its version", "not exposed"],
)
def test_a_schema_that_can_not_be_used_is_said_with_what_is_missing(
    status: int,
    answer: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The migration, or the setting that names it; nothing else is asked."""
    settings = unit_settings(database_schema="chat")
    monkeypatch.setattr("shared.doctor.load_settings", lambda: settings)
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/ping").respond(status, json=answer)
        assert main([]) == UNREACHABLE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("postgresql://u:word@127.0.0.1:1/postgres", UNREACHABLE, "port 1 failed"),
        ("postgresql://u:p@word@h/postgres", MISCONFIGURED, "percent-encoded"),
    ],
)
def test_a_postgres_that_can_not_be_asked_is_said_with_the_reason(
    url: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one line, without the password."""
    monkeypatch.setattr("shared.doctor.load_settings", lambda: unit_settings(supabase_db_url=url))
    assert main([]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "word" not in line.replace("password", "")
