"""The house: how long a file may be, what stands at the top of shared/, what mutations break."""

import re
import tomllib

import pytest

from local.settings import ROOT
from tests.mutations.__main__ import MUTATIONS, Mutation

# The most lines of a file, by folder.
LIMITS = {
    "shared": 300,
    "functions": 300,
    "local": 300,
    "bench": 300,
    "deploy": 300,
    "examples": 300,
    "web/src": 300,
    "web/page": 300,
    "supabase/schemas": 400,
    "web/test": 500,
    "tests": 500,
}
CODE = {".py", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".css", ".html", ".sh", ".sql", ".typ"}
MADE = {"node_modules", "__pycache__", "dist"}


@pytest.mark.parametrize("folder", LIMITS)
def test_no_file_is_too_long_to_be_read(folder: str) -> None:
    """One that has grown past its limit is two subjects."""
    files = {
        path: len(path.read_text().splitlines())
        for path in (ROOT / folder).rglob("*")
        if path.suffix in CODE and not MADE & {*path.parts}
    }
    assert files
    assert {path: lines for path, lines in files.items() if lines > LIMITS[folder]} == {}


def test_the_top_of_shared_has_six_modules_at_most() -> None:
    """What belongs to a subject is in the subject's folder."""
    assert len(list((ROOT / "shared").glob("[!_]*.py"))) <= 6


def test_every_room_has_its_layer() -> None:
    """One that import-linter is not told of may import anything."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    named = re.findall(r"shared\.(\w+)", " ".join(contracts["contracts"][0]["layers"]))
    rooms = [path.parent.name for path in (ROOT / "shared").glob("*/__init__.py")]
    modules = [path.stem for path in (ROOT / "shared").glob("[!_]*.py")]
    assert sorted(named) == sorted(rooms + modules)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_of_code_that_is_there(mutation: Mutation) -> None:
    """One whose text was rewritten breaks nothing, and shows nothing."""
    assert mutation.old in (ROOT / mutation.file).read_text()
