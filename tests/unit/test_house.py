"""The house: how long a file may be, what stands at the top of shared/, what mutations break."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.settings import ROOT
from tests.mutations.__main__ import MUTATIONS, Mutation

# The most lines of a file, by how its path begins: of tests, of the schema, of all else.
LIMITS = {"tests/": 500, "web/test/": 500, "supabase/schemas/": 400, "": 300}
CODE = {".py", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".css", ".html", ".sh", ".sql", ".typ"}
MADE = {"node_modules", "__pycache__", "dist", "migrations"}  # by programs


def code_files() -> Iterator[Path]:
    """Yield every file of code, wherever it is."""
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in MADE and not name.startswith(".")]
        yield from (Path(folder, name) for name in names if Path(name).suffix in CODE)


def test_no_file_is_too_long_to_be_read() -> None:
    """One that has grown past its limit is two subjects."""
    files = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in code_files()}
    assert {path.partition("/")[0] for path in files} >= {"shared", "web", "supabase", "bench"}
    limits = {
        path: next(LIMITS[start] for start in LIMITS if path.startswith(start)) for path in files
    }
    assert {path: lines for path, lines in files.items() if lines > limits[path]} == {}


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
