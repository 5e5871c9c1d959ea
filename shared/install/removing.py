"""The plan of a removal: migrations that take ours back, and the files of ours that go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.install import config_file
from shared.install.changes import Plan
from shared.install.config_file import CannotEditError
from shared.install.forwarders import forwarders_of, settings_example
from shared.install.migrations import State, versions_after
from shared.install.names import DEFAULT
from shared.install.removal_sql import removal_texts

if TYPE_CHECKING:
    from pathlib import Path

    from shared.install.database import Database
    from shared.install.project import Project


def plan_removal(
    project: Project, source: Path, state: State, database: Database | None, *, with_data: bool
) -> Plan:
    """Return what a removal does to a project."""
    plan = Plan()
    written = state.written or (state.left if with_data else [])
    if not written:
        plan.find("schema", "none of ours", "there is nothing to remove")
        return plan
    schema = written[0].schema
    _plan_migrations(plan, project, state, database, with_data=with_data)
    _plan_config(plan, project, schema, with_data=with_data)
    _plan_files(plan, project, source, schema)
    plan.steps.append("supabase db push --remote")
    plan.steps.append("supabase functions delete, for each forwarder that was deployed")
    return plan


def _plan_migrations(
    plan: Plan, project: Project, state: State, database: Database | None, *, with_data: bool
) -> None:
    written = state.written or state.left
    schema = written[0].schema
    texts = removal_texts(
        [migration.body for migration in written], schema=schema, with_data=with_data
    )
    applied = database.applied if database else set()
    versions = versions_after([*project.versions(), *applied], len(texts))
    for version, what, text in zip(versions, ("_policy", ""), texts, strict=True):
        name = f"{version}_remove_message_persistence{what}.sql"
        plan.change(project.migrations / name, text.encode())
    then = "everything goes" if with_data else "the tables stay, with their rows, to be read"
    plan.find(f"schema {schema}", "installed", f"a migration takes it back: {then}")
    if database is not None and not applied & {migration.version for migration in written}:
        found = "it was never pushed to this database"
        then = "if to no other either, delete the migrations of ours instead of pushing"
        plan.find(f"schema {schema}", found, then, "note")


def _plan_config(plan: Plan, project: Project, schema: str, *, with_data: bool) -> None:
    try:
        plan.edit(project.config, config_file.remove_functions)
        if with_data and schema != DEFAULT:
            plan.edit(project.config, lambda config: config_file.hide(config, schema))
    except CannotEditError:
        plan.steps.append("supabase/config.toml was changed since: take our entries out by hand")
    if not with_data:
        plan.find("config.toml", f"the API serves {schema}", "it stays, so that rows can be read")


def _plan_files(plan: Plan, project: Project, source: Path, schema: str) -> None:
    forwarders = forwarders_of(source / "functions", project.functions).values()
    files = [*forwarders, settings_example(project.settings_example, schema)]
    for file in files:
        if file.whose == "ours":
            plan.change(file.path, None)
        elif file.whose == "changed":
            name = file.path.relative_to(project.root)
            plan.find("files", f"{name} was changed since it was written", "it stays", "note")
    removed = sum(change.after is None for change in plan.changes)
    plan.find("files", f"{removed} of ours as they were written", "remove them")
