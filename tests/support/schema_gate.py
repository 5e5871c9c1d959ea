"""The schema gate: each lint is a query over the catalog, and each row it gives is a finding.

It knows nothing of our tables, so it holds for those to come. What is allowed all the same is
listed, with its reason, in test_schema_gate.py.
"""

import re

import psycopg

# Ours: what the Data API serves, and what stands behind it.
SCHEMAS = "('public'::regnamespace, 'private'::regnamespace, 'search'::regnamespace)"

TABLES = f"""
    tables as (
        select c.oid, c.relname, c.relkind, c.relrowsecurity, c.reloptions,
               coalesce(obj_description(c.oid, 'pg_class'), '') as comment
        from pg_class as c
        where c.relnamespace in {SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm', 'f')
    ),
    policies as (
        select format('%s.%s.%s', n.nspname, c.relname, p.polname) as name, p.polrelid, p.polcmd,
               p.polroles, pg_get_expr(p.polqual, p.polrelid) as qual,
               pg_get_expr(p.polwithcheck, p.polrelid) as checked
        from pg_policy as p
        join pg_class as c on c.oid = p.polrelid
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private', 'search', 'realtime')
    ),
    functions as (
        select p.*, p.oid::regprocedure::text as name
        from pg_proc as p
        where p.pronamespace in {SCHEMAS}
    )
"""

LINTS = {
    "table without row-level security": """
        select relname from tables where relkind in ('r', 'p', 'f') and not relrowsecurity
    """,
    "view that runs as its owner": """
        select relname from tables
        where relkind = 'm'
           or relkind = 'v' and not coalesce('security_invoker=true' = any (reloptions), false)
    """,
    # A comment that says why is one with "No policy for <command>, <command>: <reason>".
    "command without a policy or a comment that says why": """
        select format('%s: %s', relname, command.word)
        from tables
        cross join (values ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd'))
            as command (word, letter)
        where relkind in ('r', 'p', 'f')
          and not exists (
              select from policies
              where polrelid = tables.oid and polcmd in (command.letter::"char", '*')
          )
          and comment !~* format('no policy for ([a-z]+, )*%s(, [a-z]+)*: \\w+', command.word)
    """,
    "policy for somebody other than signed-in users": """
        select name from policies where polroles <> array['authenticated'::regrole::oid]
    """,
    "policy that asks nothing": """
        select name from policies where qual ~ '^\\(*true\\)*$' or checked ~ '^\\(*true\\)*$'
    """,
    "policy that does not name the caller": """
        select name from policies
        where coalesce(qual, checked) !~ '= \\( SELECT auth\\.uid\\(\\)'
           or coalesce(checked, qual) !~ '= \\( SELECT auth\\.uid\\(\\)'
    """,
    "policy that asks who is calling once a row": """
        select name from policies
        where regexp_replace(concat(qual, checked), 'SELECT auth\\.uid\\(\\)', '', 'g') ~ 'auth\\.'
    """,
    "update policy without a check": """
        select name from policies where polcmd in ('w', '*') and checked is null
    """,
    "table or column granted to anon": """
        select relname from tables
        where has_table_privilege(
                  'anon', oid,
                  'select, insert, update, delete, truncate, references, trigger')
           or has_any_column_privilege('anon', oid, 'select, insert, update, references')
    """,
    "sequence granted to anon": f"""
        select relname from pg_class
        where relnamespace in {SCHEMAS} and relkind = 'S'
          and case when relkind = 'S'
              then has_sequence_privilege('anon', oid, 'usage, select, update') end
    """,
    "function granted to anon": """
        select name from functions where has_function_privilege('anon', oid, 'execute')
    """,
    "function with no grants written out": """
        select name from functions where proacl is null
    """,
    "function granted to public": """
        select name from functions
        cross join lateral aclexplode(proacl) as granted
        where granted.grantee = 0
    """,
    "function without a pinned search_path": """
        select name from functions where not coalesce('search_path=""' = any (proconfig), false)
    """,
    # Up to Postgres 17 a plan with what is off costs ten billion, and is compiled for a second.
    "function that is compiled for what it switches off": """
        select name from functions
        where proconfig::text like '%enable_%' and not 'jit=off' = any (proconfig)
    """,
    "function that runs as its owner": """
        select name from functions where prosecdef
    """,
    "foreign key without an index": f"""
        select format('%s.%s', k.conrelid::regclass, k.conname)
        from pg_constraint as k
        where k.contype = 'f' and k.connamespace in {SCHEMAS}
          and not exists (
              select from pg_index as i
              where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
                and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
          )
    """,
    "table without a primary key": """
        select relname from tables
        where relkind in ('r', 'p')
          and not exists (select from pg_constraint where conrelid = tables.oid and contype = 'p')
    """,
    "table or function without a comment": """
        select relname from tables where comment = ''
        union all
        select name from functions where obj_description(oid, 'pg_proc') is null
    """,
}

# Not-null constraints have rows of their own since Postgres 18, and nobody needs their names.
NAMES = f"""
    select conname::text, 'constraint' from pg_constraint
    where connamespace in {SCHEMAS} and contype <> 'n' and contype <> 't'
    union
    select pg_class.relname::text, 'index' from pg_index
    join pg_class on pg_class.oid = indexrelid
    where relnamespace in {SCHEMAS}
      and not exists (
          select from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x')
      )
"""


def findings(connection: psycopg.Connection, lint: str) -> set[str]:
    """Return what this lint finds in the schemas of ours."""
    query = f"with {TABLES} {LINTS[lint]}"
    return {row[0] for row in connection.execute(query.encode())}


def unwritten_names(connection: psycopg.Connection, migrations: str) -> set[str]:
    """Return the constraints and indexes whose names Postgres made up: no migration has them."""
    names = connection.execute(NAMES.encode()).fetchall()
    written = r"\b{} (if not exists )?{}\b"
    return {name for name, kind in names if not re.search(written.format(kind, name), migrations)}
