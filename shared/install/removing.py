"""The plan of a removal: migrations that take ours back, and the files of ours that go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import config_file
from .changes import Plan
from .config_file import CannotEditError
from .forwarders import forwarders_of, settings_example
from .migrations import Written, versions_after
from .names import DEFAULT
from .removal_sql import removal_texts

if TYPE_CHECKING:
    from pathlib import Path

    from .database import Database
    from .migrations import State
    from .project import Project


def plan_removal(
    project: Project, source: Path, state: State, database: Database | None, *, with_data: bool
) -> Plan:
    """Return what a removal does to a project."""
    plan = Plan()
    written = state.written or (state.left if with_data else [])
    if written:
        _plan_migrations(plan, project, written, database, with_data=with_data)
        plan.steps.append("supabase db push --remote")
    keeps_rows = not with_data and bool(state.written or state.left)
    _plan_config(plan, project, keeps_rows=keeps_rows)
    _plan_files(plan, project, source)
    if not plan.changes:
        plan.find("project", "nothing of ours", "there is nothing to remove")
    plan.steps.append("supabase functions delete, for each forwarder that was deployed")
    return plan


def _plan_migrations(
    plan: Plan,
    project: Project,
    written: list[Written],
    database: Database | None,
    *,
    with_data: bool,
) -> None:
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


def _plan_config(plan: Plan, project: Project, *, keeps_rows: bool) -> None:
    try:
        plan.edit(project.config, config_file.remove_functions)
        if not keeps_rows:
            plan.edit(project.config, config_file.hide)
    except CannotEditError:
        plan.steps.append("supabase/config.toml was changed since: take our entries out by hand")
    if keeps_rows:
        plan.find("config.toml", "the API goes on to serve the schema", "so that rows can be read")


def _plan_files(plan: Plan, project: Project, source: Path) -> None:
    forwarders = forwarders_of(source / "functions", project.functions).values()
    for file in [*forwarders, settings_example(project.settings_example, DEFAULT)]:
        if file.whose == "ours":
            plan.change(file.path, None)
        elif file.whose == "changed":
            name = file.path.relative_to(project.root)
            plan.find("files", f"{name} was changed since it was written", "it stays", "note")
    removed = sum(change.after is None for change in plan.changes)
    plan.find("files", f"{removed} of ours as they were written", "remove them" if removed else "")
