"""The plan of a removal: migrations that take ours back, and the files of ours that go.

The rows stay unless told otherwise: then the tables, their reading policies and their indexes are
left as they are, and nobody but their owner writes to them. Of the project's own nothing changes.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from shared.install import config_file
from shared.install.changes import Plan
from shared.install.config_file import CannotEditError
from shared.install.forwarders import forwarders_of, settings_example
from shared.install.migrations import State, versions_after
from shared.install.names import DEFAULT, POLICY
from shared.install.statements import Made, made_by

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shared.install.database import Database
    from shared.install.project import Project

JOBS = """\
do $$
begin
    if to_regclass('cron.job') is not null then
        perform cron.unschedule(jobid) from cron.job where command in ({commands});
    end if;
end;
$$;
"""

# What a policy, a check or an index of the tables stands on stays with them. Twice, since one may
# stand on another.
ROUTINES = """\
do $$
declare
    v_thing text;
begin
    for v_round in 1..2 loop
        foreach v_thing in array array[
            {things}
        ]
        loop
            begin
                execute format(
                    'drop %s if exists %s', split_part(v_thing, ' ', 1), split_part(v_thing, ' ', 2)
                );
            exception
                when dependent_objects_still_exist then
                    raise notice '% stays: something stands on it', v_thing;
            end;
        end loop;
    end loop;
end;
$$;
"""
KINDS = {"view": "view", "function": "routine", "procedure": "routine"}

# Where the project has put something of its own into it, it stays.
SCHEMA = """\
do $$
begin
    if obj_description(to_regnamespace('{schema}'), 'pg_namespace') = '{comment}' then
        drop schema {schema};
    end if;
exception
    when dependent_objects_still_exist then
        raise notice 'the schema {schema} stays: there are other things in it';
end;
$$;
"""
COMMENT = re.compile(r"comment on schema (\w+) is '((?:''|[^'])*)'")


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


def removal_texts(bodies: list[str], *, schema: str, with_data: bool) -> list[str]:
    """Return the migrations that take back what these have made, in order.

    The policy on Realtime's table has a file of its own, as it had when it was made.
    """
    made = made_by(bodies)
    policies = dict.fromkeys(name for body in bodies for name in POLICY.findall(body))
    first = [f"drop policy if exists {name} on realtime.messages;\n" for name in policies]
    second = [*_drop_jobs(made), *_drop_triggers(made), *_drop_routines(made)]
    if with_data:
        # A function may take a table's row, and an index of it may stand on a function.
        second += [*_drop_tables(made), *_drop_routines(made), *_drop_schemas(bodies)]
    else:
        second += _close_tables(made)
    kind = "with" if with_data else "without"
    return [
        f"-- message-persistence: removed {kind} its data, schema {schema},"
        f" {hashlib.sha256(body.encode()).hexdigest()}\n{body}"
        for body in ("\n".join(first), "\n".join(second))
    ]


def _drop_jobs(made: list[Made]) -> list[str]:
    commands = [f"'call {thing.name}()'" for thing in made if thing.kind == "procedure"]
    return [JOBS.format(commands=", ".join(commands))] if commands else []


def _drop_triggers(made: list[Made]) -> Iterable[str]:
    for thing in made:
        if thing.kind == "trigger":
            yield f"drop trigger if exists {thing.name} on {thing.table};\n"


def _drop_tables(made: list[Made]) -> Iterable[str]:
    yield f"drop table if exists {', '.join(_tables(made))};\n"


def _close_tables(made: list[Made]) -> Iterable[str]:
    """Leave the tables to be read as before, and to be written by their owner alone."""
    for thing in made:
        if thing.kind == "policy" and thing.command != "select":
            yield f"drop policy if exists {thing.name} on {thing.table};\n"
    for table in _tables(made):
        yield (
            f"revoke insert, update, delete, truncate on {table}"
            " from anon, authenticated, service_role;\n"
        )


def _tables(made: list[Made]) -> list[str]:
    return [thing.name for thing in made if thing.kind == "table"]


def _drop_routines(made: list[Made]) -> Iterable[str]:
    """Drop functions, procedures and views, as far as nothing that stays stands on them."""
    things = [f"'{KINDS[thing.kind]} {thing.name}'" for thing in made if thing.kind in KINDS]
    yield ROUTINES.format(things=(",\n" + " " * 12).join(things))


def _drop_schemas(bodies: list[str]) -> Iterable[str]:
    for body in bodies:
        for schema, comment in COMMENT.findall(body):
            yield SCHEMA.format(schema=schema, comment=comment)


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
