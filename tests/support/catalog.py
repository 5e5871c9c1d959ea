"""The database's catalog as text: what the migrations make, the same on every Postgres version.

After a change that is meant, write the expected one anew, and read its diff:

    .venv/bin/python -m tests.support.catalog
"""

import sys
from pathlib import Path

import psycopg

from local import database
from tests.support.postgres import running_server

EXPECTED = Path(__file__).parents[1] / "sql" / "expected_catalog.txt"

# Each gives one line an object. Not-null constraints are left out of the constraints: they are
# rows of their own only since Postgres 18, and the columns' lines have them.
SCHEMAS = "('public'::regnamespace, 'search'::regnamespace)"

SECTIONS = {
    "schemas": """
        select format('%s to %s: %s', n.nspname, role, privilege)
        from pg_namespace as n
        cross join unnest(array['anon', 'authenticated', 'service_role']) as role
        cross join unnest(array['usage', 'create']) as privilege
        where n.nspname in ('public', 'search') and has_schema_privilege(role, n.oid, privilege)
    """,
    "tables": f"""
        select format('%s rls=%s forced=%s kind=%s comment=%s', c.relname, c.relrowsecurity,
                      c.relforcerowsecurity, c.relkind,
                      obj_description(c.oid, 'pg_class') is not null)
        from pg_class as c
        where c.relnamespace in {SCHEMAS} and c.relkind not in ('i', 'I', 'c', 't')
    """,
    "columns": f"""
        select format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                      case when a.attnotnull then ' not null' end,
                      ' default ' || pg_get_expr(d.adbin, d.adrelid))
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace in {SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and a.attnum > 0 and not a.attisdropped
    """,
    "types": f"""
        select t.typname::text
        from pg_type as t
        left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace in {SCHEMAS} and t.typtype in ('e', 'd', 'r', 'c')
          and (c.oid is null or c.relkind = 'c')
    """,
    "constraints": f"""
        select format('%s.%s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        from pg_constraint
        where connamespace in {SCHEMAS} and contype not in ('n', 't')
    """,
    "indexes": """
        select indexdef from pg_indexes where schemaname in ('public', 'search')
    """,
    "triggers": f"""
        select format('%s enabled=%s', pg_get_triggerdef(t.oid), t.tgenabled)
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace in {SCHEMAS} and not t.tgisinternal
    """,
    "policies": """
        select format(E'%s.%s.%s %s for %s to %s\n    using %s\n    with check %s', schemaname,
                      tablename, policyname, lower(permissive), lower(cmd),
                      array_to_string(roles, ', '), coalesce(qual, '-'),
                      coalesce(with_check, '-'))
        from pg_policies
        where schemaname in ('public', 'search', 'realtime')
    """,
    "grants on tables": f"""
        select format('%s to %s: %s', c.relname, grantee.name,
                      string_agg(lower(g.privilege_type), ', ' order by g.privilege_type))
        from pg_class as c
        cross join lateral aclexplode(c.relacl) as g
        cross join lateral (
            select coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
        ) as grantee (name)
        where c.relnamespace in {SCHEMAS} and g.grantee <> c.relowner
        group by c.relname, grantee.name
    """,
    "grants on columns": f"""
        select format('%s to %s: %s (%s)', c.relname, grantee.name, lower(g.privilege_type),
                      string_agg(a.attname, ', ' order by a.attname))
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        cross join lateral aclexplode(a.attacl) as g
        cross join lateral (
            select coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
        ) as grantee (name)
        where c.relnamespace in {SCHEMAS}
        group by c.relname, grantee.name, g.privilege_type
    """,
    "functions": f"""
        select format(E'%s(%s) returns %s\n    %s %s security %s set %s, execute to %s', p.proname,
                      pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname,
                      case p.provolatile when 'i' then 'immutable' when 's' then 'stable'
                          else 'volatile' end,
                      case when p.prosecdef then 'definer' else 'invoker' end,
                      coalesce(array_to_string(p.proconfig, ', '), '-'),
                      case when p.proacl is null then 'public' else coalesce(
                          (select string_agg(
                               coalesce(nullif(g.grantee, 0)::regrole::text, 'public'), ', '
                               order by coalesce(nullif(g.grantee, 0)::regrole::text, 'public'))
                           from aclexplode(p.proacl) as g
                           where g.grantee <> p.proowner), 'nobody') end)
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        where p.pronamespace in {SCHEMAS}
    """,
}


def describe(connection: psycopg.Connection) -> str:
    """Return everything in our schemas, and the policies in `realtime`, as sorted lines."""
    parts = []
    for title, query in SECTIONS.items():
        lines = sorted(row[0] for row in connection.execute(query.encode()))
        parts.append("\n".join([f"== {title}", *lines]))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the expected catalog, from the migrations on an empty embedded server."""
    with running_server() as server:
        database.shape(server.url())
        database.migrate(server.url())
        with psycopg.connect(server.url()) as connection:
            EXPECTED.write_text(describe(connection))
    print(f"wrote {EXPECTED.name}", file=sys.stderr)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
