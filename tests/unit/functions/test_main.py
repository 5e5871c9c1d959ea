"""`python -m functions`: what it says where it can't start, and what start-up leaves behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from functions.__main__ import main
from functions.app import create_app
from local.settings import ROOT
from shared.config import Settings
from tests.support.unit_settings import ENVIRONMENT, unit_settings


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command line, in an empty folder, with good settings and no others."""
    arguments = ["functions", "--port", "0"]
    for name in [*Settings.model_fields, "PORT"]:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", arguments)
    return arguments


def test_a_missing_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """On standard error, and nothing on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "functions"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        env={**ENVIRONMENT, "SUPABASE_URL": "", "PATH": os.environ["PATH"],
             "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", "configuration error: SUPABASE_URL is missing (see .env.example)\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"SUPABASE_URL": "nonsense", "STORE_TIMEOUT": "0"},
         "SUPABASE_URL is not an http(s) URL; STORE_TIMEOUT Input should be greater than 0"),
        ({"MEGA_MIND_MODEL": "no-such-provider:x"}, "no-such-provider"),
        ({"MEGA_MIND_ENGINE": "os:sep"}, "'/' is no agent"),
    ],
    ids=["settings", "model", "engine"],
)  # fmt: skip
@pytest.mark.usefixtures("arguments")
def test_what_can_not_be_used_is_one_line_too(
    changes: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Found out at the start, not at the first request."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("configuration error: ")
    assert line in err


def test_a_port_that_is_none_is_no_traceback(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PORT is the environment's too."""
    del arguments[1:]
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "invalid int value: 'http'" in capsys.readouterr().err


async def test_what_start_up_makes_is_out_of_the_collectors_way() -> None:
    """Whoever serves: looking through all of it would stall turns for no find."""
    app, frozen = create_app("health", settings=unit_settings()), gc.get_freeze_count()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > frozen
