"""The catalog of our schemas as text: two databases with the same text have the same schema.

Bodies, settings, comments, grants and policies included; owners, and what Postgres numbers or
names for itself, are not.
"""

import difflib

import psycopg

# Ours, and the policies that we put on a table of Realtime's.
SCHEMAS = "('public', 'private', 'search')"


def _grants(column: str, owner: str) -> str:
    """Return a subquery for a list of grants, without the owner's."""
    return f"""(
        select string_agg(format('%s: %s%s', granted.grantee, granted.privilege,
                                 case when granted.is_grantable then ' with grant option' end),
                          ', ' order by granted.grantee, granted.privilege)
        from (
            select coalesce(nullif(g.grantee, 0)::regrole::text, 'public') as grantee,
                   lower(g.privilege_type) as privilege, g.is_grantable
            from aclexplode({column}) as g
            where g.grantee <> {owner}
        ) as granted
    )"""


def _all_grants(column: str, owner: str, kind: str) -> str:
    """Return the same where null stands for the defaults of a kind of object."""
    return _grants(f"coalesce({column}, acldefault('{kind}', {owner}))", owner)


# Each gives one text an object. Not-null constraints are left out of the constraints: they are
# rows of their own only since Postgres 18, and the columns have them.
SECTIONS = {
    "schemas": f"""
        select format('%s comment=%s grants=%s', nspname, obj_description(oid, 'pg_namespace'),
                      {_all_grants("nspacl", "nspowner", "n")})
        from pg_namespace where nspname in {SCHEMAS}
    """,
    "default privileges": f"""
        select format('%s in %s for %s: %s', d.defaclrole::regrole,
                      coalesce(nullif(d.defaclnamespace, 0)::regnamespace::text, 'all'),
                      d.defaclobjtype, d.defaclacl)
        from pg_default_acl as d
        where d.defaclnamespace = 0 or d.defaclnamespace::regnamespace::text in {SCHEMAS}
    """,
    "extensions": """
        select format('%s in %s', extname, extnamespace::regnamespace)
        from pg_extension where extname not in ('plpgsql')
    """,
    "relations": f"""
        select format(E'%s kind=%s kept=%s rls=%s forced=%s identity=%s options=%s comment=%s\n'
                      '    grants=%s%s', c.oid::regclass, c.relkind, c.relpersistence,
                      c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions,
                      obj_description(c.oid, 'pg_class'),
                      {_all_grants("c.relacl", "c.relowner", "r")},
                      case when c.relkind in ('v', 'm') then E'\n' || pg_get_viewdef(c.oid) end)
        from pg_class as c
        where c.relnamespace::regnamespace::text in {SCHEMAS} and c.relkind not in ('i', 'I', 't')
    """,
    "columns": f"""
        select format('%s %s. %s %s%s default=%s identity=%s generated=%s collation=%s storage=%s '
                      'compression=%s comment=%s grants=%s', c.oid::regclass,
                      lpad(rank() over (partition by c.oid order by a.attnum)::text, 2, '0'),
                      a.attname, format_type(a.atttypid, a.atttypmod),
                      case when a.attnotnull then ' not null' end,
                      pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
                      nullif(a.attcollation, 0)::regcollation, a.attstorage, a.attcompression,
                      col_description(c.oid, a.attnum), {_grants("a.attacl", "c.relowner")})
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace::regnamespace::text in {SCHEMAS}
          and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and a.attnum > 0 and not a.attisdropped
    """,
    "types": f"""
        select format('%s kind=%s values=%s comment=%s', t.oid::regtype, t.typtype,
                      (select array_agg(enumlabel order by enumsortorder)
                       from pg_enum where enumtypid = t.oid),
                      obj_description(t.oid, 'pg_type'))
        from pg_type as t
        left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace::regnamespace::text in {SCHEMAS} and t.typtype in ('e', 'd', 'r', 'c')
          and (c.oid is null or c.relkind = 'c')
    """,
    "constraints": f"""
        select format('%s %s %s comment=%s', conrelid::regclass, conname,
                      pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
        from pg_constraint
        where connamespace::regnamespace::text in {SCHEMAS} and contype not in ('n', 't')
    """,
    "indexes": f"""
        select format('%s valid=%s comment=%s', pg_get_indexdef(i.indexrelid), i.indisvalid,
                      obj_description(i.indexrelid, 'pg_class'))
        from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        where c.relnamespace::regnamespace::text in {SCHEMAS}
    """,
    "triggers": f"""
        select format('%s enabled=%s comment=%s', pg_get_triggerdef(t.oid), t.tgenabled,
                      obj_description(t.oid, 'pg_trigger'))
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace::regnamespace::text in {SCHEMAS} and not t.tgisinternal
    """,
    "policies": f"""
        select format(E'%s.%s permissive=%s for %s to %s comment=%s\n'
                      '    using %s\n    with check %s',
                      c.oid::regclass, p.polname, p.polpermissive, p.polcmd,
                      p.polroles::regrole[], obj_description(p.oid, 'pg_policy'),
                      pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
        from pg_policy as p
        join pg_class as c on c.oid = p.polrelid
        where c.relnamespace::regnamespace::text in {SCHEMAS}
           or c.oid = to_regclass('realtime.messages')
    """,
    "functions": f"""
        select format(E'%s\n    comment=%s\n    grants=%s',
                      case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid)
                          else p.oid::regprocedure::text end,
                      obj_description(p.oid, 'pg_proc'),
                      {_all_grants("p.proacl", "p.proowner", "f")})
        from pg_proc as p
        where p.pronamespace::regnamespace::text in {SCHEMAS}
    """,
    "publications": f"""
        select format('%s: %s.%s', pubname, schemaname, tablename)
        from pg_publication_tables where schemaname in {SCHEMAS}
    """,
}

SCHEDULES = "select format('%s %s %s', jobname, schedule, command) from cron.job"


def describe(connection: psycopg.Connection, schemas: str = SCHEMAS) -> str:
    """Return everything in our schemas, and our policies on Realtime's messages, as sorted text.

    Or in these, as a list in SQL.
    """
    parts = [
        _section(connection, title, query.replace(SCHEMAS, schemas))
        for title, query in SECTIONS.items()
    ]
    if connection.execute("select to_regclass('cron.job') is not null").fetchone() == (True,):
        parts.append(_section(connection, "schedules", SCHEDULES))
    return "\n\n".join(parts) + "\n"


def difference(before: str, after: str) -> str:
    """Return where two catalogs differ, as a diff; nothing where they don't."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return "\n".join(lines)


def _section(connection: psycopg.Connection, title: str, query: str) -> str:
    texts = sorted(row[0] for row in connection.execute(query.encode()))
    return "\n".join([f"== {title}", *texts])
