"""The house: how long a file may be, what stands at the top of shared/, what mutations break."""

import pytest

from local.settings import ROOT
from tests.mutations.__main__ import MUTATIONS, Mutation

# The most lines of a file, by folder and ending.
LIMITS = {
    ("shared", "py"): 300,
    ("functions", "py"): 300,
    ("local", "py"): 300,
    ("bench", "py"): 300,
    ("web/src", "ts"): 300,
    ("web/src", "tsx"): 300,
    ("supabase/schemas", "sql"): 400,
    ("tests", "py"): 500,
}


@pytest.mark.parametrize(("folder", "ending"), LIMITS)
def test_no_file_is_too_long_to_be_read(folder: str, ending: str) -> None:
    """One that has grown past its limit is two subjects."""
    files = {
        path: len(path.read_text().splitlines())
        for path in (ROOT / folder).rglob(f"*.{ending}")
        if "node_modules" not in path.parts
    }
    assert files
    longest = {str(path): lines for path, lines in files.items() if lines > LIMITS[folder, ending]}
    assert longest == {}


def test_the_top_of_shared_has_six_modules_at_most() -> None:
    """What belongs to a subject is in the subject's folder."""
    modules = {path.name for path in (ROOT / "shared").glob("*.py")} - {
        "__init__.py",
        "__main__.py",
    }
    assert len(modules) <= 6


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_of_code_that_is_there(mutation: Mutation) -> None:
    """One whose text was rewritten breaks nothing, and shows nothing."""
    assert mutation.old in (ROOT / mutation.file).read_text()
