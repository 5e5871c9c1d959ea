"""The plan of an install: what is found in the project, and the files that are written for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import config_file, looking
from .changes import Plan
from .config_file import CannotEditError
from .forwarders import forwarders_of, settings_example
from .migrations import Migration, State, file_names, migrations_for

if TYPE_CHECKING:
    from pathlib import Path

    from .database import Database
    from .names import Names
    from .project import Project

NEEDED = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY")


def plan_install(
    project: Project, source: Path, names: Names, state: State, database: Database | None
) -> Plan:
    """Return what an install does to a project; `source` is this checkout's supabase folder."""
    plan = Plan()
    wanted = migrations_for(names, source / "migrations")
    if database is None:
        plan.find("database", "not looked at", "name it with --database-url", "note")
    else:
        looking.check_server(plan, database)
        looking.check_extensions(plan, database)
        looking.check_history(plan, database, project.versions())
        looking.check_realtime(plan, database, wanted)
        looking.check_jobs(plan, database)
    _check_state(plan, names, state, wanted)
    if database is not None:
        looking.check_clashes(plan, database, names, _not_applied(wanted, state, database))
    _plan_migrations(plan, project, wanted, state, database)
    _plan_config(plan, project, names)
    if not names.is_default:
        looking.check_exposed(plan, database, names)
    _plan_settings(plan, project, names)
    _plan_functions(plan, project, source)
    if not names.is_default:
        plan.steps.append(
            "A client that reads the tables itself names the schema: createClient(url, key,"
            f" {{ db: {{ schema: '{names.schema}' }} }}). The hook and the page need nothing"
        )
    return plan


def _check_state(plan: Plan, names: Names, state: State, wanted: list[Migration]) -> None:
    """Whether what earlier runs have left can be gone on from."""
    subject = f"schema {names.schema}"
    if state.schema not in {None, names.schema}:
        found = f"it is installed in {state.schema}"
        plan.find(subject, found, "a project holds one: leave --schema out, or --remove", "stop")
    if state.left:
        found = f"an earlier removal has kept the tables in {state.left[0].schema}"
        plan.find(subject, found, "remove them too: --remove --with-data", "stop")
    digests = {migration.name: migration.digest for migration in wanted}
    for written in state.written:
        if written.schema == names.schema and digests.get(written.name) != written.digest:
            plan.find(
                subject,
                f"{written.path.name} is of another version than this checkout",
                "nothing leads from one to the other before 1.0. Where it was never pushed, delete"
                " the file and run this again; else --remove --with-data comes first",
                "stop",
            )


def _not_applied(wanted: list[Migration], state: State, database: Database) -> list[Migration]:
    applied = {there.name for there in state.written if there.version in database.applied}
    return [migration for migration in wanted if migration.name not in applied]


def _plan_migrations(
    plan: Plan, project: Project, wanted: list[Migration], state: State, database: Database | None
) -> None:
    """Plan a file for each migration that isn't there, behind all others."""
    subject = f"schema {wanted[0].schema}"
    applied = database.applied if database else set()
    there = {written.name for written in state.written}
    new = [migration for migration in wanted if migration.name not in there]
    for migration, name in zip(new, file_names(new, [*project.versions(), *applied]), strict=True):
        plan.find(subject, f"no {migration.name}", f"write supabase/migrations/{name}")
        plan.change(project.migrations / name, migration.text.encode())
    waiting = [written.path.name for written in state.written if written.version not in applied]
    if waiting and database is not None:
        plan.find(subject, "written, and not pushed so far")
    elif not new:
        plan.find(subject, "is in the database" if database else "is in supabase/migrations")
    if new or waiting:
        plan.steps.append("supabase db push --remote")


def _plan_config(plan: Plan, project: Project, names: Names) -> None:
    text = project.config.read_bytes().decode()
    served = config_file.exposed_schemas(text)
    then = "" if names.schema in served else f"add {names.schema}"
    try:
        plan.edit(project.config, lambda config: config_file.expose(config, names.schema))
    except CannotEditError:
        then = f'add "{names.schema}" to [api] schemas by hand'
        plan.steps.append(f"supabase/config.toml: {then}")
    plan.find("config.toml", f"the API serves {', '.join(served)}", then)
    if config_file.declares_schema(text):
        plan.find(
            "config.toml",
            "the project declares its schema in files (schema_paths)",
            "name our migrations there too, or `supabase db diff` will want to drop what they make",
            "note",
        )


def _plan_functions(plan: Plan, project: Project, source: Path) -> None:
    """Plan a forwarder for each endpoint, beside the project's own functions."""
    ours = []
    for name, file in forwarders_of(source / "functions", project.functions).items():
        folder = file.path.parent.name
        if file.whose == "theirs":
            then = "it stays, and ours of that name answers at the service's own address alone"
            plan.find("functions", f"{folder} is the project's own", then, "note")
        elif file.whose == "changed":
            plan.find("functions", f"our {folder} was changed", "it stays as it is", "note")
        else:
            plan.change(file.path, file.stamped)
            ours += [name] if name else []
    new = sum(change.path.name == "index.ts" for change in plan.changes)
    plan.find("functions", f"{len(ours) - new} forwarders", f"write {new}" if new else "")
    _plan_function_settings(plan, project, ours)
    if new:
        plan.steps.append(
            "Set FORWARD_URL and FORWARD_SECRET, and supabase functions deploy --use-api"
        )


def _plan_function_settings(plan: Plan, project: Project, ours: list[str]) -> None:
    """Switch the platform's own check of tokens off: the service verifies them."""
    text = project.config.read_bytes().decode()
    if strict := config_file.verifying_functions(text, ours):
        then = "the service verifies tokens itself; preflights and service keys need it off"
        plan.find("config.toml", f"verify_jwt is on for {', '.join(strict)}", then, "note")
    try:
        plan.edit(project.config, lambda config: config_file.add_functions(config, ours))
    except CannotEditError:
        plan.steps.append("supabase/config.toml: set verify_jwt = false for each forwarder by hand")


def _plan_settings(plan: Plan, project: Project, names: Names) -> None:
    """Plan the example of the service's settings; files with secrets are only read."""
    example = settings_example(project.settings_example, names.schema)
    if example.whose in {"nobody's", "ours"}:
        plan.change(example.path, example.stamped)
    plan.steps.append(f"Run the service, with the settings of supabase/{example.path.name}")
    given = project.settings_given()
    for file, settings in given.items():
        found = [name for name in NEEDED if name in settings]
        if found:
            plan.find("settings", f"{file} has {', '.join(found)}")
    missing = sorted(set(NEEDED) - set().union(*given.values()))
    then = f"supabase/{example.path.name} lists what the service needs"
    plan.find("settings", f"no {', '.join(missing)}" if missing else "all needed are there", then)
