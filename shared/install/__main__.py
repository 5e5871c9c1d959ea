"""Puts message persistence into a project that is there: python -m shared.install --into DIR.

Looks at the project's folder and database, says in a table what it finds and does, and writes into
the folder. Exits with 0 when that is done, 1 when something stands in the way and nothing was
written, 2 where an argument is wrong, 3 when the database can't be asked.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.problems import fail
from .database import Database, UnreachableError, look_at
from .installing import plan_install
from .migrations import State, read_state
from .names import DEFAULT, Names, WrongNameError
from .project import NoProjectError, Project
from .removing import plan_removal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .changes import Plan

DONE, STOPPED, MISUSED, UNREACHABLE = 0, 1, 2, 3

PACKAGE = Path(__file__).resolve().parents[1]
# The wheel has them within the package, a checkout beside it.
SOURCE = next(f / "supabase" for f in (PACKAGE, PACKAGE.parent) if (f / "supabase").is_dir())


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan, print, and write; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        project = Project.at(options.into, source=SOURCE)
        state = read_state(project.migrations)
        names = Names(options.schema or state.schema or DEFAULT)
    except (NoProjectError, WrongNameError) as exc:
        return fail(str(exc), MISUSED)
    try:
        database = _look(options.database_url, names)
    except UnreachableError as exc:
        return fail(f"the database can't be asked: {exc}", UNREACHABLE)
    plan = _plan(options, project, names, state, database)
    _print(plan, project.root)
    if plan.is_stopped:
        return fail("Nothing was written: see the lines with an X.", STOPPED)
    if options.dry_run:
        return DONE
    try:
        for change in plan.changes:
            change.apply()
    except OSError as exc:
        return fail(f"Not all was written: {exc}. Run it again when that is mended.", STOPPED)
    return DONE


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=summary)
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="the folder that has supabase/"
    )
    parser.add_argument(
        "--schema", help="the schema to put it into (default: where it is, else public)"
    )
    parser.add_argument(
        "--database-url",
        default=_configured_url(),
        metavar="URL",
        help="the project's Postgres, to look at (default: SUPABASE_DB_URL)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--remove", action="store_true", help="take it back; the rows stay")
    parser.add_argument(
        "--with-data", action="store_true", help="with --remove: also the tables with their rows"
    )
    return parser


def _configured_url() -> str | None:
    """Read the environment's setting, in which `off` is the word for none."""
    url = os.environ.get("SUPABASE_DB_URL")
    return None if url == "off" else url


def _look(url: str | None, names: Names) -> Database | None:
    return look_at(url, list(names.schemas.values())) if url else None


def _plan(
    options: argparse.Namespace,
    project: Project,
    names: Names,
    state: State,
    database: Database | None,
) -> Plan:
    if options.remove:
        return plan_removal(project, SOURCE, state, database, with_data=options.with_data)
    return plan_install(project, SOURCE, names, state, database)


def _print(plan: Plan, root: Path) -> None:
    print(plan.table())
    if plan.is_stopped:
        return
    print("\nIn the folder:")
    for change in plan.changes:
        print(f"  {change.verb:6}  {change.path.relative_to(root)}")
    if not plan.changes:
        print("  nothing: it is all there")
    if plan.steps and plan.changes:
        print("\nLeft to do:")
    for number, step in enumerate(plan.steps if plan.changes else [], start=1):
        print(f"  {number}. {step}")


if __name__ == "__main__":
    sys.exit(main())
