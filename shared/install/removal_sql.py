"""The SQL of a removal, from the SQL of the install: what that has made is dropped, and no more.

The rows stay unless told otherwise: then tables, their reading policies and their indexes are left
as they are, and nobody but their owner writes to them.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from .names import POLICY
from .statements import Made, made_by

if TYPE_CHECKING:
    from collections.abc import Iterable

# Only who may make one may name one: a platform that refused ours would refuse this too.
POLICY_OF_REALTIME = """\
do $$
begin
    if exists (
        select 1
        from pg_policies
        where schemaname = 'realtime' and tablename = 'messages' and policyname = '{name}'
    ) then
        drop policy {name} on realtime.messages;
    end if;
end;
$$;
"""

JOBS = """\
do $$
begin
    if to_regclass('cron.job') is not null then
        perform cron.unschedule(jobid) from cron.job where command like any (array[{commands}]);
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


def removal_texts(bodies: list[str], *, schema: str, with_data: bool) -> list[str]:
    """Return the migrations that take back what these have made, in order.

    The policy on Realtime's table has a file of its own, as it had when it was made.
    """
    made = made_by(bodies)
    policies = dict.fromkeys(name for body in bodies for name in POLICY.findall(body))
    first = [POLICY_OF_REALTIME.format(name=name) for name in policies]
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
    commands = [f"'call {thing.name}(%'" for thing in made if thing.kind == "procedure"]
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
