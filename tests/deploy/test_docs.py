"""The documentation: its commands are run, its links lead somewhere, its settings are true."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from local.settings import ROOT
from local.stack import Stack
from shared.config import Settings
from tests.support.promises import README, SECTIONS, promises, render

pytestmark = pytest.mark.promise("documentation", red="a page that wasn't there yet")

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# tests/unit/deploy/test_docs.py runs the blocks of these, which are scripts rather than lines.
RUN_WHOLE = {"hosted.md", "self-hosted.md"}
NEEDS = re.compile(r"# needs (an account: .+|Docker)")

# Each command of a block that doesn't say what it needs, and the test that runs it. What make does
# is run by name here; what it stands for is run by the suite and by .ci/run.
RUN_BY = {
    "supabase db push --remote=<postgres url>": "tests/cli/test_supabase_cli.py",
    'supabase db query --remote=<postgres url> "select count(*) from messages"': (
        "tests/cli/test_supabase_cli.py"
    ),
    "supabase gen types --lang python --schema public --remote=<postgres url>": (
        "tests/cli/test_generated_types.py"
    ),
    "cfn-lint deploy/lambda/template.yaml": "tests/deploy/test_lambda.py",
    "python -m functions --host 0.0.0.0 --port 8000": "tests/deploy/test_image.py",
    "python -m functions load-conversation --port 8000": "tests/deploy/test_alone.py",
    "python -m shared.doctor": "tests/deploy/test_docs.py",
    "python -m shared.install --into ../my-app --schema chat --database-url <postgres url>": (
        "tests/cli/test_install.py"
    ),
    "python -m shared.install --into ../my-app --schema chat --database-url <postgres url>"
    " --dry-run": "tests/cli/test_install.py",
    "python -m shared.install --into ../my-app --database-url <postgres url> --remove": (
        "tests/cli/test_install.py"
    ),
    "python -m shared.adoption --database-url <postgres url>": "tests/adoption/test_again.py",
    "python -m shared.adoption --database-url <postgres url> --dry-run": (
        "tests/adoption/test_moving.py"
    ),
    "python -m shared.adoption --database-url <postgres url> --write-migration"
    " supabase/migrations": "tests/adoption/test_with_the_cli.py",
    "python -m venv .venv": "tests/deploy/test_docs.py",
    "pip install --require-hashes -r requirements/database.txt": "tests/deploy/test_docs.py",
    "pip install --require-hashes -r requirements/runtime.txt": "tests/deploy/test_docs.py",
}


def commands(page: Path) -> list[str]:
    """Return the commands of a page's shell blocks, but for those that say what they need."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        if NEEDS.match(block):
            continue
        lines = block.replace("\\\n", " ").splitlines()
        bare = (re.sub(r"\s+# .*", "", line).strip() for line in lines)
        found += [line.removeprefix(".venv/bin/") for line in bare if line and line[0] != "#"]
    return found


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in RUN_WHOLE],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_command_is_run_by_a_test_or_says_what_it_needs(page: Path) -> None:
    """A make target exists; anything else is on the list, beside a test that is there."""
    for command in commands(page):
        if command.startswith("make "):
            assert_make_knows(command)
            continue
        assert command in RUN_BY, f"{page.name}: no test runs {command!r}"
        assert (ROOT / RUN_BY[command]).exists()


def assert_make_knows(command: str) -> None:
    """Let make say what it would do."""
    program, *words = shlex.split(command)
    done = subprocess.run(
        [program, "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_command_is_on_the_list_without_a_page() -> None:
    """So that the list stays as short as the pages."""
    assert set(RUN_BY) <= {command for page in PAGES for command in commands(page)}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files that exist, headings that are there; addresses elsewhere are left alone."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not heading or heading in headings(file), f"{page.name} links to {target}"


def headings(page: Path) -> set[str]:
    """Return the anchors of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_file_that_a_page_names_is_there() -> None:
    """Paths in backticks under the folders of this repository."""
    folders = "deploy|docs|functions|local|requirements|shared|supabase|tests|bench"
    for page in PAGES:
        for path in re.findall(rf"`((?:{folders})/(?!v1)[\w./-]+)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_configuration_page_is_the_settings() -> None:
    """As `make docs` writes it."""
    script = "import runpy; print(runpy.run_path('docs/configuration_page.py')['render'](), end='')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "configuration.md").read_text() == done.stdout


def test_the_promises_are_those_that_tests_are_marked_with() -> None:
    """As `make docs` writes them, and none is without a test that was seen to fail."""
    found, page = promises(), README.read_text()
    assert page == render(page, found)
    assert {key for keys in SECTIONS.values() for key in keys} == {
        promise.key for promise in found if promise.red
    }


def test_every_extra_is_on_the_images_page() -> None:
    """As one of those that a build argument installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "deploy" / "image.md").read_text()
    (row,) = re.findall(r"^\| `EXTRAS` \| (.*) \|$", page, re.MULTILINE)
    extras = {"pdf"} | project["optional-dependencies"].keys()  # PDFs are the service's alone
    extras -= {"openai-agents", "pydantic-ai"}  # the library's alone
    assert set(re.findall(r"`([a-z]+)`", row)) == extras


def test_the_example_file_names_every_setting() -> None:
    """But what only tests or a host set."""
    text = (ROOT / ".env.example").read_text()
    shown = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    named = {name.upper() for name in Settings.model_fields}
    named = {name.replace("SECRET_KEYS", "SECRET_KEY") for name in named}
    assert shown == named - {"AWS_LAMBDA_FUNCTION_NAME", "CRASH_POINT"}


def test_the_doctor_looks_at_a_project(stack: Stack) -> None:
    """`python -m shared.doctor`, with the project's settings in the environment."""
    environment = {"PATH": os.environ["PATH"], **stack.settings.environment()}
    done = subprocess.run(
        [sys.executable, "-m", "shared.doctor"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "broken" in done.stdout, done.stderr
    assert done.returncode in {0, 1}  # other tests break things at the same time


@pytest.mark.parametrize("lock", ["runtime", "database"])
def test_the_locked_packages_can_be_installed(tmp_path: Path, lock: str) -> None:
    """Every hash and pin of a lock is one that is installed and tested here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--offline"),
            *("--python", sys.executable, "--require-hashes", "-r", f"requirements/{lock}.txt"),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Would make no changes" in done.stderr
