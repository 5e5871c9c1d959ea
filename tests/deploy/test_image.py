"""The image: clean by hadolint, whole by what it copies, and quick to end without losing a turn."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from local.settings import ROOT
from local.stack import Stack
from tests.support.image import DOCKERFILE, build_image, copied_paths
from tests.support.process import functions_process
from tests.support.users import User

TEXT = DOCKERFILE.read_text()
EXTRAS = {"pdf"} | tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
].keys()
EXTRAS -= {"openai-agents", "pydantic-ai"}  # the library's alone


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files of the image, and no package but its locked ones."""
    (tmp_path / "app").mkdir()
    return build_image(tmp_path / "app")


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, path], capture_output=True, text=True, check=False)


@pytest.mark.promise("deployment")
def test_hadolint_finds_nothing() -> None:
    """At its strictest, with nothing ignored."""
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in TEXT


def test_negative_control_hadolint_sees_a_mistake(tmp_path: Path) -> None:
    """An unpinned base image."""
    (tmp_path / "Dockerfile").write_text("FROM python:latest\n")
    assert "DL3007" in hadolint(tmp_path / "Dockerfile").stdout


def test_the_image_is_locked_not_root_and_has_no_curl() -> None:
    """Hashes for every package, wheels alone, a user by number, a health check in Python."""
    assert "--require-hashes --only-binary :all:" in TEXT
    assert re.search(r"^USER 10001$", TEXT, re.MULTILINE)
    assert "curl" not in TEXT
    assert "functions.healthcheck" in TEXT
    assert TEXT.rstrip().splitlines()[-1] == "FROM base AS runtime"


def test_what_is_copied_is_let_through_to_the_builder() -> None:
    """.dockerignore names each of the paths, and nothing else that exists."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert set(copied_paths()) <= let_through
    assert {f"requirements/{lock}.txt" for lock in ("runtime", *EXTRAS)} <= let_through
    assert not [path for path in let_through if path.startswith((".env", "local", "tests"))]


@pytest.mark.promise("deployment")
async def test_the_image_answers_and_its_health_check_knows(
    image: Path, stack: Stack, user: User, tmp_path: Path
) -> None:
    """The copied files with the locked packages alone serve a whole turn."""
    async with functions_process(stack, tmp_path, PYTHONPATH=str(image)) as process:
        async with process.client(user.token) as client:
            answer = await client.post("/mega-mind", json={"request": "Hello"})
        alive = healthcheck(image, process.url.rpartition(":")[2])
    assert answer.json()["success"] is True
    assert alive == 0
    assert healthcheck(image, process.url.rpartition(":")[2]) == 1


def healthcheck(image: Path, port: str) -> int:
    command = [sys.executable, "-m", "functions.healthcheck"]
    environment = {"PATH": os.environ["PATH"], "PORT": port}
    return subprocess.run(command, cwd=image, env=environment, check=False).returncode
