"""`python -m functions`: what it says where it can't start, and what start-up leaves behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from functions.app import create_app
from local.settings import ROOT
from tests.support.unit_settings import unit_settings

GOOD = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
}


def start(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the bundle with these settings and nothing else, and wait for its end."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
    return subprocess.run(
        [sys.executable, "-m", "functions", "--port", "0"],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"SUPABASE_SECRET_KEY": ""}, "SUPABASE_SECRET_KEY is missing (see .env.example)"),
        (
            {"SUPABASE_URL": "nonsense", "STORE_TIMEOUT": "0"},
            "SUPABASE_URL is not an http(s) URL; STORE_TIMEOUT Input should be greater than 0"
            " (see .env.example)",
        ),
    ],
    ids=["missing", "wrong"],
)
def test_a_missing_or_wrong_setting_is_one_line_and_exit_code_2(
    tmp_path: Path, changes: dict[str, str], line: str
) -> None:
    """On standard error, and nothing on standard output."""
    done = start(tmp_path, **{**GOOD, **changes})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"configuration error: {line}\n"


def test_a_model_that_cannot_be_used_is_one_line_too(tmp_path: Path) -> None:
    """Found out at the start, not at the first request."""
    done = start(tmp_path, **GOOD, MEGA_MIND_MODEL="no-such-provider:x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("configuration error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "no-such-provider" in done.stderr


def test_an_engine_that_cannot_be_used_is_one_line_too(tmp_path: Path) -> None:
    """What is wrong with MEGA_MIND_ENGINE, at the start."""
    (tmp_path / "my_agent.py").write_text("number = 3\n")
    done = start(tmp_path, **GOOD, MEGA_MIND_ENGINE="my_agent:number")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("configuration error: 3 is no agent")
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_none_is_no_traceback(tmp_path: Path) -> None:
    """PORT is the environment's too."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **GOOD, "PORT": "http"}
    done = subprocess.run(
        [sys.executable, "-m", "functions"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "invalid int value: 'http'" in done.stderr
    assert "Traceback" not in done.stderr


async def test_what_start_up_makes_is_out_of_the_collectors_way() -> None:
    """Whoever serves: looking through all of it would stall turns for no find."""
    app, frozen = create_app("health", settings=unit_settings()), gc.get_freeze_count()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > frozen
