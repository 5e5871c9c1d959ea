"""A project of somebody's, to install into: its folder, and what its database says."""

from pathlib import Path

import pytest

from local.settings import ROOT
from shared.install import __main__ as program
from shared.install.__main__ import main
from shared.install.database import Database

CONFIG = """\
# of the project
project_id = "app"
[api]
schemas = ["public", "graphql_public"] # theirs
[functions.hello]
verify_jwt = true
"""
OURS = len(list((ROOT / "supabase" / "functions").glob("*/index.ts")))
FOUND = Database(
    version=17,
    user="postgres",
    missing=[],
    extensions={"pg_trgm": "extensions"},
    relations=set(),
    routines=set(),
    policies=set(),
    may_make_policies=True,
    exposed=None,
    history=["20250101000000"],
    jobs=set(),
)


def run(project: Path, *options: str) -> int:
    """Run the program on a project whose database isn't looked at."""
    return main(["--into", str(project), *options])


def run_beside(database: Database, project: Path, *options: str) -> int:
    """Run it where this is what the database says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "look_at", lambda _url, _schemas: database)
        return run(project, "--database-url", "postgresql://there", *options)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file by its name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def ours_in(project: Path) -> list[Path]:
    """Return the migrations that an install has written."""
    return sorted((project / "supabase" / "migrations").glob("*message_persistence*.sql"))
