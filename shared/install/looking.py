"""What the project's database says to an install: each thing a row of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .names import JOB, POLICY
from .statements import made_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .changes import Plan
    from .database import Database
    from .migrations import Migration
    from .names import Names

TRIED = (15, 17, 18)
OLDEST = 15
EXTENSIONS = ("pg_trgm", "btree_gin")
MOST_NAMED = 6


def check_server(plan: Plan, database: Database) -> None:
    """The version, and what every Supabase project has."""
    version = f"Postgres {database.version}"
    if database.version < OLDEST:
        plan.find("database", version, f"{OLDEST} is the oldest that serves", "stop")
    elif database.version not in TRIED:
        plan.find("database", version, "not tried; 15, 17 and 18 are", "note")
    else:
        plan.find("database", f"{version}, as {database.user}")
    if database.missing:
        lacks = f"without {_some(database.missing)}"
        plan.find("database", lacks, "it is no Supabase project's", "stop")


def check_extensions(plan: Plan, database: Database) -> None:
    """Those that the search stands on, and which schema they are in."""
    for name in EXTENSIONS:
        schema = database.extensions.get(name)
        then = "is used from there" if schema else "the migration makes it"
        plan.find("extensions", f"{name} in {schema}" if schema else f"no {name}", then)


def check_history(plan: Plan, database: Database, versions: Sequence[str]) -> None:
    """Whether `supabase db push` will take what is written."""
    plan.find("migrations", f"{len(versions)} in the folder, {len(database.applied)} pushed")
    strangers = sorted(database.applied - set(versions))
    if strangers:
        plan.find(
            "migrations",
            f"the database has {_some(strangers)}, which this folder lacks",
            "`supabase db push` would refuse. Get them first, by git or by `supabase migration"
            " fetch --remote`; don't follow its advice to repair the history",
            "stop",
        )
    newest = max(database.applied, default="")
    late = [version for version in versions if version not in database.applied and version < newest]
    if late:
        plan.find(
            "migrations",
            f"{_some(late)} of this folder were not pushed, and are older than what was",
            "`supabase db push` asks for --include-all",
            "note",
        )


def check_clashes(
    plan: Plan, database: Database, names: Names, wanted: Sequence[Migration]
) -> None:
    """Things of the project's own under the names that ours will have."""
    bodies = [migration.body for migration in wanted]
    made = made_by(bodies)
    tables = {f"{thing.name}" for thing in made if thing.kind == "table"}
    indexes = {f"{thing.schema}.{thing.name}" for thing in made if thing.kind == "index"}
    routines = {thing.name for thing in made if thing.kind in {"function", "procedure"}}
    taken = {
        "tables": sorted(database.relations & tables),
        "indexes": sorted(database.relations & indexes),
        "functions": sorted(database.routines & routines),
        "policies on realtime.messages": sorted(
            database.policies & {name for body in bodies for name in POLICY.findall(body)}
        ),
        "jobs of pg_cron": sorted(
            (database.jobs or set()) & {name for body in bodies for name in JOB.findall(body)}
        ),
    }
    for kind, clashing in taken.items():
        if clashing:
            plan.find(
                f"schema {names.schema}",
                f"the project has {kind} of these names: {_some(clashing)}",
                "choose another schema for ours (--schema chat), or move them aside first",
                "stop",
            )


def check_realtime(plan: Plan, database: Database, wanted: Sequence[Migration]) -> None:
    """Whether our policy can be made, and whose others stand beside it."""
    ours = {name for migration in wanted for name in POLICY.findall(migration.body)}
    others = sorted(database.policies - ours)
    if not database.may_make_policies:
        plan.find(
            "Realtime",
            f"{database.user} may not make a policy on realtime.messages",
            "the dashboard's SQL editor may. Without it nobody receives live events",
            "note",
        )
    if others:
        plan.find(
            "Realtime",
            f"policies of the project: {_some(others)}",
            "whoever one of them lets listen to every topic also listens to conversation:<id>",
            "note",
        )


def check_jobs(plan: Plan, database: Database) -> None:
    """Who calls the sweeps."""
    if database.jobs is None:
        then = "switch it on before the push, or call POST sweep-turns once a minute"
        plan.find("jobs", "no pg_cron", then, "note")
    else:
        plan.find("jobs", "pg_cron", "the migration schedules sweeps and retention")


def check_exposed(plan: Plan, database: Database | None, names: Names) -> None:
    """Whether the Data API serves the schema: config.toml is for the CLI's own stack alone."""
    exposed = database.exposed if database else None
    if exposed is not None:
        plan.find("Data API", f"by the database's settings it serves {', '.join(exposed)}")
    if exposed is None or names.schema not in exposed:
        plan.steps.append(
            f"Let the Data API serve {names.schema}. Hosted: Project Settings > Data API > Exposed"
            f" schemas. Self-hosted: add it to PGRST_DB_SCHEMAS"
        )


def _some(names: Sequence[str]) -> str:
    """Return the first few of these names, and how many more there are."""
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
