"""What `make forwarders` writes is what is there, whatever was there before."""

import shutil
from pathlib import Path

import pytest

from functions.app import ENDPOINTS
from local.forwarders import CONFIG, FUNCTIONS, ROUTES, write_all
from local.settings import ROOT

pytestmark = pytest.mark.promise("forwarders")

WRITTEN = (FUNCTIONS, CONFIG, *ROUTES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of everything that is written."""
    for path in WRITTEN:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, tmp_path / path)
        else:
            shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def contents(root: Path) -> dict[Path, str]:
    """Return every file below a folder."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): path.read_text() for path in files}


def test_what_is_there_is_what_would_be_written(copy: Path) -> None:
    """Otherwise: run `make forwarders`."""
    before = contents(copy)
    write_all(copy)
    assert contents(copy) == before


def test_an_endpoint_that_comes_is_written_everywhere_and_one_that_goes_is_removed(
    copy: Path,
) -> None:
    """And back again, to the same files."""
    before = contents(copy)
    gone, *kept = ENDPOINTS
    write_all(copy, ["a-new-one", *kept])
    changed = contents(copy)
    for path in (CONFIG, *ROUTES):
        assert "a-new-one" in changed[path]
        assert gone not in changed[path]
    assert FUNCTIONS / "a-new-one" / "index.ts" in changed
    assert FUNCTIONS / gone / "index.ts" not in changed
    write_all(copy)
    assert contents(copy) == before
