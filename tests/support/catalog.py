"""The catalog of our schemas as text: two databases with the same text have the same schema.

Every column of every row of pg_catalog that belongs to them, so that nothing can be forgotten. What
Postgres numbers is named instead; what it counts or remembers for itself is left out.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

SCHEMAS = ("public", "private", "search")
ON_MESSAGES = " on realtime.messages"  # a policy of ours, on a table of Realtime's

# Of a database, and of no schema in it.
LOOSE = re.compile("pg_(default_acl|event_trigger|extension|foreign_server|language|publication) ")

# The columns and keys of each catalog, but for statistics and what all databases of a server share.
CATALOGS = """
    select c.relname::text, jsonb_object_agg(a.attname, a.atttypid::regtype),
           (select coalesce(jsonb_object_agg(fkcols[cardinality(fkcols)],
                                             array[pktable::regclass::text, fkcols[1]]), '{}')
            from pg_get_catalog_foreign_keys() where fktable = c.oid)
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r' and not c.relisshared
      and c.relname !~ '^pg_(statistic|statistic_ext_data|largeobject.*|init_privs)$'
    group by c.oid
    order by c.relname
"""
UNCOMPARED = re.compile(
    "oid|rel(filenode|pages|tuples|allvisible|allfrozen|frozenxid|minmxid|natts|has.*)"
    "|att(hasmissing|missingval|cacheoff)|adnum|indcheckxmin|(ref)?objsubid"
)
# A number that may have gaps; the table of Postgres's own behind one of ours; grants by default.
SPELLED = {
    "attnum": "rank() over (partition by r.attrelid order by r.attnum)",
    "enumsortorder": "rank() over (partition by r.enumtypid order by r.enumsortorder)",
    "reltoastrelid": "(select t.reloptions from pg_class as t where t.oid = r.reltoastrelid)",
    "relacl": "coalesce(r.relacl,"
    " acldefault(case r.relkind when 'S' then 's'::\"char\" else 'r' end, r.relowner))",
    "proacl": "coalesce(r.proacl, acldefault('f', r.proowner))",
    "nspacl": "coalesce(r.nspacl, acldefault('n', r.nspowner))",
    "typacl": "coalesce(r.typacl, acldefault('T', r.typowner))",
}
# What is a tree of nodes in a row, as SQL again.
WRITTEN = {
    "pg_attrdef": "pg_get_expr(r.adbin, r.adrelid)",
    "pg_class": "pg_get_expr(r.relpartbound, r.oid)",
    "pg_constraint": "pg_get_constraintdef(r.oid)",
    "pg_index": "pg_get_indexdef(r.indexrelid)",
    "pg_partitioned_table": "pg_get_partkeydef(r.partrelid)",
    "pg_policy": "array[pg_get_expr(r.polqual, r.polrelid),"
    " pg_get_expr(r.polwithcheck, r.polrelid)]",
    "pg_proc": "concat(pg_get_function_arguments(r.oid), pg_get_function_sqlbody(r.oid))",
    "pg_publication_rel": "pg_get_expr(r.prqual, r.prrelid)",
    "pg_rewrite": "pg_get_ruledef(r.oid)",
    "pg_statistic_ext": "pg_get_statisticsobjdef(r.oid)",
    "pg_trigger": "pg_get_triggerdef(r.oid)",
    "pg_type": "pg_get_expr(r.typdefaultbin, 0)",
}
# Where a row is about one of any catalog: that catalog, and the part of the row.
ABOUT = {
    "objid": ("classid", "objsubid"),
    "objoid": ("classoid", "objsubid"),
    "refobjid": ("refclassid", "refobjsubid"),
}
# What names a row without a number of its own.
PARTS = re.compile(r"\w+relid|attname|objo?id|refobjid|enum\w+|rngtypid|aggfnoid")


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a catalog: what it is called, what it refers to, and what it says."""

    name: str
    refers: set[str]
    says: dict[str, Any]

    def __str__(self) -> str:
        """Return a line for each thing that it says, and for each line of a body."""
        return "\n".join(
            f"{self.name} {key}: {line}"
            for key, value in sorted(self.says.items())
            if value is not None
            for line in (value if isinstance(value, str) else json.dumps(value)).split("\n")
        )


def describe(connection: psycopg.Connection, schemas: Collection[str] | None = SCHEMAS) -> str:
    """Return our schemas as sorted text, or these, and what is ours on Realtime's messages.

    Without any: the whole database, but for where it is recorded which migrations were applied.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")
        catalogs = connection.execute(CATALOGS.encode()).fetchall()
        rows = [row for catalog in catalogs for row in _rows(connection, *catalog)]
        if connection.execute("select to_regclass('cron.job') is not null").fetchone() == (True,):
            jobs = connection.execute("select jobname, to_jsonb(j) - 'jobid' from cron.job as j")
            rows += [Row(f"job {name}", {"pg_extension pg_cron"}, says) for name, says in jobs]
    text = "\n".join(sorted(str(row) for row in _belonging(rows, schemas))) + "\n"
    return re.sub(r"(RI_ConstraintTrigger_[ac])_\d+", r"\1", text)


def stored_rows(connection: psycopg.Connection) -> str:
    """Return what all tables and sequences hold, as sorted text."""
    tables = connection.execute(
        "select oid::regclass::text from pg_class where relkind in ('r', 'S')"
        " and relnamespace::regnamespace::text !~ '^(pg_|information_schema|supabase_migrations)'"
    ).fetchall()
    return _contents(connection, [name for (name,) in tables])


def shared_rows(connection: psycopg.Connection) -> str:
    """Return the roles and settings that all databases of a server share, likewise."""
    names = ["pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_shdescription"]
    return _contents(connection, names)


def difference(before: str, after: str) -> str:
    """Return where two catalogs differ, as a diff; nothing where they don't."""
    if before == after:
        return ""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="", n=0)
    return "\n".join(lines)


def _contents(connection: psycopg.Connection, names: list[str]) -> str:
    return "\n".join(
        f"{name} {row}"
        for name in names
        for (row,) in connection.execute(
            f"select row(r.*)::text from {name} as r order by 1".encode()
        )
    )


def _belonging(rows: list[Row], schemas: Collection[str] | None) -> Iterator[Row]:
    """Yield the rows that are of these schemas, or refer to what is."""
    there = {row.says["nspname"] for row in rows if "nspname" in row.says}
    names = {f"pg_namespace {name}" for name in schemas or there - {"supabase_migrations"}}
    found = {row for row in rows if LOOSE.match(row.name) or ON_MESSAGES in row.name}
    while found:
        yield from found
        names |= {row.name for row in found}
        rows = [row for row in rows if row not in found]
        found = {row for row in rows if row.name in names or row.refers & names}


def _rows(
    connection: psycopg.Connection, catalog: str, kinds: dict[str, str], keys: dict[str, list[str]]
) -> Iterator[Row]:
    """Yield the rows of a catalog, but for those that every database begins with."""
    single = {column: of for column, (of, leads) in keys.items() if column == leads}
    says = {
        column: _said(column, kind, single.get(column), keys.get(column, [""])[-1])
        for column, kind in kinds.items()
        if kind != "pg_node_tree" and not UNCOMPARED.fullmatch(column)
    }
    if "pg_node_tree" in kinds.values():
        says["written"] = WRITTEN[catalog]
    if "oid" in kinds and catalog != "pg_enum":
        says["oid"] = _identity(f"'{catalog}'", "r.oid")
    for column in ABOUT.keys() & kinds.keys():
        of, part = ABOUT[column]
        says[column] = _identity(f"r.{of}", f"r.{column}", f"r.{part}")
        says[of] = f"concat(r.{of}::regclass, ' ', {_identity(f'r.{of}', f'r.{column}')})"
    numbers = {c for c in {"oid", "objid", "objoid", *single} & kinds.keys() if kinds[c] == "oid"}
    for (row,) in connection.execute(_query(catalog, says, numbers).encode()):
        parts = (str(row[column]) for column in sorted(row) if PARTS.fullmatch(column))
        name = f"{catalog} {row.get('oid') or ' '.join(parts)}"
        refers = {f"{of} {each}" for column, of in single.items() for each in _each(row[column])}
        yield Row(name, refers | {row.get("classid", ""), row.get("classoid", "")}, row)


def _query(catalog: str, says: dict[str, str], numbers: Collection[str]) -> str:
    """Return a query for what rows say, if any number in them is of what was made here."""
    return f"""
        select jsonb_build_object({", ".join(f"'{name}', {text}" for name, text in says.items())})
        from {catalog} as r
        where ({" or ".join(f"r.{number} >= 16384 or r.{number} = 2200" for number in numbers)})
          {"and r.attnum > 0 and not r.attisdropped" if catalog == "pg_attribute" else ""}
    """


def _said(column: str, kind: str, of: str | None, leads: str) -> str:
    """Return a column as SQL, with names for the numbers of other rows."""
    text = SPELLED.get(column, f"r.{column}")
    if kind == "aclitem[]":
        return f"array(select g::text from unnest({text}) as g order by 1)"
    if column in SPELLED or not leads:
        return text
    if of is None:  # columns, of the table that another column names
        columns = _identity("'pg_class'", f"r.{leads}", "n")
        return f"array(select {columns} from unnest({text}::int2[]) as n)"
    if kind in {"oid", "regproc"}:
        return _identity(f"'{of}'", text)
    return f"array(select {_identity(repr(of), 'n')} from unnest({text}::oid[]) as n)"


def _identity(catalog: str, number: str, part: str = "0") -> str:
    return f"(select identity from pg_identify_object({catalog}::regclass, {number}, {part}))"


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
