"""Takes a project's old chat tables over: python -m shared.adoption --database-url URL.

Exits with 0 when all is taken, 1 when something was left out (a file lists it), 2 when something
else has to be done first, 3 when the database can't be reached or was lost: run it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

try:
    import psycopg
except ImportError:  # pragma: no cover
    sys.exit("psycopg is needed: the extra `database` brings it, or requirements/database.txt")

from ..config.problems import fail
from .copying import Copier
from .moving import what_hangs_on, write_migration
from .plan import STEP_ROWS, make_plan
from .report import (
    count,
    lines_of_changes,
    lines_of_comparison,
    lines_of_counts,
    lines_of_left_out,
    write_left_out,
)
from .rows import define_views
from .tables import LEGACY, CannotAdoptError, Chats, read_chats, require_adoptable

if TYPE_CHECKING:
    from collections.abc import Sequence

TAKEN, LEFT_OUT, NOT_YET, UNREACHABLE = 0, 1, 2, 3

# Temporary tables need a session: a pooler in transaction mode gives each transaction another.
POOLED_PORT: Final = 6543

SESSION: Final = """
set search_path = '';
set timezone = 'UTC';
set row_security = off;
set statement_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set lock_timeout = '5s';
set jit = off;
"""

GO_ON: Final = "What was taken is there; the same command goes on."
STEP: Final = "how many messages a transaction has, about (default: %(default)s)"
LISTED: Final = "where to list what isn't taken (default: %(default)s)"
MIGRATION: Final = "write the migration there that moves old tables out of the new ones' way"


@dataclass
class Progress:
    """One line, written over and over on a terminal, and every ten seconds elsewhere."""

    total: int
    done: int = 0
    last_shown: float = field(default_factory=time.monotonic)

    def add(self, rows: int) -> None:
        """Count messages, and show where that is due."""
        self.done += rows
        is_terminal = sys.stdout.isatty()
        if time.monotonic() - self.last_shown > (0.2 if is_terminal else 10):
            self.last_shown = time.monotonic()
            print(f"{self.done:,} of {self.total:,} messages", end="\r" if is_terminal else "\n",
                  flush=True)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at the old tables, and take them over where that is asked for; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with psycopg.connect(options.database_url, autocommit=True, prepare_threshold=None,
                             client_encoding="utf8", keepalives_idle=30) as connection:  # fmt: skip
            if connection.info.port == POOLED_PORT:
                raise CannotAdoptError(  # noqa: TRY301
                    f"Port {POOLED_PORT} is a pooler in transaction mode: use port 5432."
                )
            connection.execute(SESSION)
            return _adopt(connection, options)
    except CannotAdoptError as exc:
        return fail(str(exc), NOT_YET)
    except psycopg.OperationalError as exc:
        return fail(f"The database can't be reached, or is busy: {exc}\n{GO_ON}", UNREACHABLE)
    except psycopg.Error as exc:
        return fail(f"The database refuses: {exc}\nIs this its owner, postgres?", NOT_YET)


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=summary)
    add = parser.add_argument
    add("--database-url", required=True, help="Postgres itself, as postgres")
    add("--from", dest="source", default="public", help="the old tables' schema")
    add("--to", dest="target", default="public", help="this system's schema")
    add("--dry-run", action="store_true", help="say what would be done")
    add("--step-rows", type=int, default=STEP_ROWS, metavar="N", help=STEP)
    add("--left-out", type=Path, default=Path("left-out.csv"), metavar="FILE", help=LISTED)
    add("--write-migration", type=Path, metavar="DIR", help=MIGRATION)
    return parser


def _adopt(connection: psycopg.Connection, options: argparse.Namespace) -> int:
    old = _find_old(connection, options.source, options.target)
    require_adoptable(connection, old)
    new = read_chats(connection, options.target)
    is_in_the_way = old.messages.schema == options.target
    if options.write_migration:
        return _write_migration(connection, options.write_migration, old)
    if new is not None and not new.are_ours:
        new = None
    if not options.dry_run:
        _require_new(new, options, is_in_the_way=is_in_the_way)

    print(f"reading {old.messages.schema}.conversations and {old.messages.schema}.messages")
    define_views(connection, old)
    make_plan(connection, new, step_rows=options.step_rows)
    _print(lines_of_counts(connection), lines_of_changes(connection, old))
    if options.dry_run:
        if is_in_the_way:
            _print(
                ["to be moved aside first, by --write-migration"], what_hangs_on(connection, old)
            )
        if new is None:
            print(
                f"{options.target} has no tables of this system yet: its limits are not looked at"
            )
        return _list_left_out(connection, options.left_out)
    assert new is not None  # noqa: S101 -- _require_new has looked
    return _take(connection, old, new, options)


def _find_old(connection: psycopg.Connection, source: str, target: str) -> Chats:
    found = read_chats(connection, source)
    if found and found.are_ours and source == target:
        source, found = LEGACY, read_chats(connection, LEGACY)
    if found is None:
        raise CannotAdoptError(f"{source} has no tables conversations and messages.")
    if found.are_ours:
        raise CannotAdoptError(f"The tables of {source} are this system's own.")
    return found


def _require_new(new: Chats | None, options: argparse.Namespace, *, is_in_the_way: bool) -> None:
    if is_in_the_way:
        raise CannotAdoptError(
            f"The old tables stand in {options.target}, where this system's are to be. Move them"
            " aside: --write-migration supabase/migrations, and push that and this system's own."
        )
    if new is None:
        raise CannotAdoptError(
            f"{options.target} has no tables of this system: push its migration."
        )


def _write_migration(connection: psycopg.Connection, folder: Path, old: Chats) -> int:
    if not folder.is_dir():
        raise CannotAdoptError(f"There is no folder {folder}.")
    hanging = what_hangs_on(connection, old)
    print(f"written: {write_migration(folder, connection, old)}")
    _print(hanging)
    print(f"Push it, then this system's own migration; the old tables are then in {LEGACY}.")
    return TAKEN


def _take(
    connection: psycopg.Connection, old: Chats, new: Chats, options: argparse.Namespace
) -> int:
    copier = Copier(connection, new, step_rows=options.step_rows)
    copier.prepare()
    progress = Progress(count(connection, "plan_messages").to_take)
    copier.run(progress.add)
    print(f"{progress.done:,} messages done")
    code = _list_left_out(connection, options.left_out)
    differences = lines_of_comparison(connection, old, new)
    _print(differences or ["compared by user: everything that was to be taken is here"])
    reached = "deleted" if old.messages.schema == LEGACY else "deleted or erased"
    print(
        f"{old.messages.schema} still holds all of it, chats that are {reached} from now on too,"
        " until you drop its tables."
    )
    return LEFT_OUT if differences else code


def _list_left_out(connection: psycopg.Connection, path: Path) -> int:
    lines = lines_of_left_out(connection)
    _print(lines or ["left out: nothing"])
    if not lines:
        return TAKEN
    write_left_out(connection, path)
    print(f"listed, row by row: {path}")
    return LEFT_OUT


def _print(*groups: Sequence[str]) -> None:
    for group in groups:
        for line in group:
            print(line)


if __name__ == "__main__":
    sys.exit(main())
