"""The report of what the project's users used."""

import uuid
from typing import Any

import pytest
import respx

from shared.models.analytics import UserUsage
from shared.usage import MISCONFIGURED, UNREACHABLE, main, report_of
from tests.support.unit_settings import ENVIRONMENT, URL


def usage(**changed: Any) -> UserUsage:
    """Return a user's figures."""
    figures: dict[str, Any] = {
        "user_id": uuid.uuid4(), "turns": 3, "completed": 2, "failures": {"timeout": 1},
        "input_tokens": 10, "output_tokens": 20, "cost": 0.5, "conversations": 1, "messages": 6,
        "bytes": 1_500_000,
    }  # fmt: skip
    return UserUsage.model_validate(figures | changed)


def test_the_busiest_users_stand_below_the_totals() -> None:
    """Failures are added up by reason."""
    busy, quiet = usage(turns=9, failures={"timeout": 1, "rate_limited": 3}), usage()
    lines = report_of([quiet, busy], days=7, top=1).splitlines()
    assert lines[0] == "The last 7 days: 2 users"
    assert lines[1] == "Failures: rate_limited 3, timeout 2"
    assert lines[4].split() == ["all", "12", "5", "20", "40", "1.00", "2", "12", "3.0"]
    assert lines[5].split()[0] == str(busy.user_id)
    assert len(lines) == 6


def test_a_cost_is_unknown_where_one_of_them_is() -> None:
    """No sum is given that is too small."""
    lines = report_of([usage(), usage(cost=None)], days=7, top=0).splitlines()
    assert "unknown" in lines[4]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Settings of a project that nothing listens for."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_every_page_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the last user of the page before."""
    pages = [[usage().model_dump(mode="json")], [usage(turns=5).model_dump(mode="json")]]
    answers = [{"users": pages[0], "more": True}, {"users": pages[1], "more": False}]
    with respx.mock:
        road = respx.post(f"{URL}/rest/v1/rpc/project_usage")
        road.side_effect = [respx.MockResponse(200, json=answer) for answer in answers]
        assert main([]) == 0
        asked = [call.request.content for call in road.calls]
    assert pages[0][0]["user_id"].encode() in asked[1]
    assert "2 users" in capsys.readouterr().out


@pytest.mark.usefixtures("environment")
def test_a_store_that_is_away_or_a_missing_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an exit code of its own."""
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/project_usage").respond(503)
        assert main([]) == UNREACHABLE
    monkeypatch.delenv("SUPABASE_URL")
    assert main([]) == MISCONFIGURED
    errors = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert [line.partition(":")[0] for line in errors] == [
        "the store can't be asked", "configuration error",
    ]  # fmt: skip
