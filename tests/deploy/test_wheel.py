"""The library as others get it: a wheel, in an environment that has nothing else."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest

from local.settings import ROOT
from local.stack import Stack
from shared.doctor import BROKEN, WELL
from tests.support.clients import CLIENTS, install_clients
from tests.support.installed import contents
from tests.support.supabase_cli import Cli
from tests.support.users import User
from tests.support.wheel import build_wheel

PAGE = ROOT / "docs" / "library.md"
# Modules that only somebody needs who has the extra that brings what they import.
WITH_EXTRAS = (
    "adoption.",
    "sessions.",
    "ai.model",
    "observability.otlp",
    "persistence.connections",
    "persistence.postgres",
)
IMPORT_ALL = """
import importlib, pkgutil, sys
import message_persistence as library
for module in pkgutil.walk_packages(library.__path__, "message_persistence."):
    if not module.name.partition(".")[2].startswith(tuple(sys.argv[1:])):
        importlib.import_module(module.name)
for name in library.__all__:
    getattr(library, name)
"""
ASK_TWICE = """
import asyncio, json, sys
from page import answer, chat

async def main():
    replies = [await answer(sys.argv[1], "Hello", "one key") for _ in range(2)]
    await chat.aclose()
    print(json.dumps(replies))

asyncio.run(main())
"""


ASK_FROM_THREADS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from page import answer_now

with ThreadPoolExecutor(4) as threads:
    asked = [threads.submit(answer_now, sys.argv[1], str(n), f"key {n}") for n in range(8)]
print(json.dumps([one.result() for one in asked]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this repository."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment has the wheel and what it needs, as locked here."""
    venv = tmp_path_factory.mktemp("venv")
    uv = Path(sys.executable).with_name("uv")
    found = venv / "bin" / "python"
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv],
        [
            *(uv, "pip", "install", "--quiet", "--python", found),
            *("--constraint", ROOT / "requirements" / "dev.txt", wheel),
        ],
    )
    for command in commands:
        subprocess.run(command, cwd=wheel.parent, capture_output=True, text=True, check=True)
    return found


def run(python: Path, folder: Path, script: str, *args: str, **environment: str) -> str:
    """Run a script away from this repository, and return what it prints."""
    done = subprocess.run(
        [python, "-c", script, *args],
        cwd=folder, env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise("deployment")
def test_the_wheel_has_the_library_and_nothing_else(wheel: Path) -> None:
    """Under its own name, with its types, without the service, imports and exports."""
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {
        "message_persistence"
    }
    assert "message_persistence/py.typed" in names
    rooms = {name.split("/")[1] for name in names}
    assert rooms.isdisjoint({"http", "exports", "imports"})
    assert not [name for name in names if name.endswith(("jwks.py", "authenticator.py"))]
    assert wheel.stat().st_size < 500_000


@pytest.mark.promise("deployment")
def test_a_new_environment_has_what_the_library_needs(python: Path, tmp_path: Path) -> None:
    """Each module can be imported, and no web framework came with it."""
    run(python, tmp_path, IMPORT_ALL, *WITH_EXTRAS)
    assert "fastapi" not in {path.name for path in python.parents[1].rglob("site-packages/*")}
    for name in ("shared", "functions", "fastapi", "uvicorn"):
        found = run(python, tmp_path, f"import importlib.util as u; print(u.find_spec('{name}'))")
        assert found == "None\n"


@pytest.mark.promise("deployment", red="migrations and forwarders left out of the wheel")
def test_it_installs_what_the_checkout_does(python: Path, tmp_path: Path) -> None:
    """Into a project that the CLI has made: the same files, but for the time in their names."""
    install_clients()
    written = []
    for name, command in (
        ("by_wheel", [python, "-m", "message_persistence", "install"]),
        ("by_checkout", [sys.executable, "-m", "shared.install"]),
    ):
        project = tmp_path / name
        project.mkdir()
        made = Cli(CLIENTS / "node_modules" / ".bin" / "supabase", project).run("init")
        assert made.returncode == 0, made.stderr
        there = contents(project)
        subprocess.run(
            [*command, "--into", project, "--schema", "chat"],
            cwd=ROOT if name == "by_checkout" else tmp_path, check=True, capture_output=True,
        )  # fmt: skip
        written.append(
            {
                re.sub(r"/\d{14}_", "/", file): text.replace(name.encode(), b"")
                for file, text in contents(project).items()
                if there.get(file) != text
            }
        )
    assert written[0] == written[1]
    assert {
        "supabase/config.toml",
        "supabase/functions/mega-mind/index.ts",
        "supabase/migrations/message_persistence_baseline.sql",
    } <= written[0].keys()


@pytest.mark.promise("deployment")
def test_its_programs_have_one_name(python: Path, tmp_path: Path, stack: Stack) -> None:
    """The doctor and the figures ask a project; what needs the extra for Postgres says so."""
    ended = {
        name: subprocess.run(
            [python, "-m", "message_persistence", name, *options],
            cwd=tmp_path, env={"PATH": os.environ["PATH"], **stack.settings.environment()},
            capture_output=True, text=True, check=False,
        )
        for name, options in {"doctor": [], "usage": ["--json"], "adopt": [], "other": []}.items()
    }  # fmt: skip
    assert ended["doctor"].returncode in {WELL, BROKEN}, ended["doctor"].stderr  # others write here
    assert isinstance(json.loads(ended["usage"].stdout), list)
    assert (ended["adopt"].returncode, ended["other"].returncode) == (1, 2)
    assert "the extra `database`" in ended["adopt"].stderr
    assert all(name in ended["other"].stdout for name in ("install", "adopt", "doctor", "usage"))


@pytest.mark.promise("one key, one effect")
def test_the_documents_example_runs(
    python: Path, tmp_path: Path, stack: Stack, user: User, db: psycopg.Connection
) -> None:
    """Twice under one key, in an environment that has the wheel alone."""
    example, *_ = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "page.py").write_text(example)
    settings = stack.settings.environment()
    given = {name: settings[name] for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY")}
    answers = run(python, tmp_path, ASK_TWICE, user.id, **given)  # and nothing else is printed
    stored = db.execute(
        "select content from messages where user_id = %s order by seq", (user.id,)
    ).fetchall()
    assert json.loads(answers) == ["After 0 messages you said: Hello"] * 2
    assert stored == [("Hello",), ("After 0 messages you said: Hello",)]


def test_code_that_is_not_async_has_a_way(
    python: Path, tmp_path: Path, stack: Stack, user: User
) -> None:
    """As the page writes it: a loop in a thread of its own, from any thread."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [blocks[0], *(block for block in blocks if "def answer_now" in block)]
    (tmp_path / "page.py").write_text("\n".join(lines))
    settings = stack.settings.environment()
    given = {name: settings[name] for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY")}
    answers = run(python, tmp_path, ASK_FROM_THREADS, user.id, **given)
    assert json.loads(answers) == [f"After 0 messages you said: {n}" for n in range(8)]
