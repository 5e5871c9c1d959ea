"""The user gate: every key, function and statement of ours starts with the user, or names them.

Keys are read from the catalog, bodies of functions by Postgres's own parser. What is allowed all
the same is listed, with its reason, in test_user_gate.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from pglast import ast, enums, parse_plpgsql, parse_sql

SCHEMAS = "('public'::regnamespace, 'private'::regnamespace, 'search'::regnamespace)"

# The tables that hold rows of users: those with a column for whose they are.
TABLES = f"""
    select n.nspname::text, c.relname::text
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    where c.relnamespace in {SCHEMAS} and c.relkind in ('r', 'p')
"""
# A primary key may be the id alone; where it is all that a table has, it is a key like any other.
KEYS = f"""
    with keys as (
        select c.conname::text as name, c.conrelid, c.conkey[1] as leads,
               cardinality(c.conkey) as size, false as is_primary
        from pg_constraint as c
        where c.contype = 'f' and c.connamespace in {SCHEMAS}
        union all
        select i.indexrelid::regclass::text, i.indrelid, i.indkey[0], i.indnkeyatts, i.indisprimary
        from pg_index as i
        join pg_class as c on c.oid = i.indrelid
        where i.indisunique and c.relnamespace in {SCHEMAS}
    )
    select k.name
    from keys as k
    left join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.leads
    where a.attname is distinct from 'user_id'
      and not (k.is_primary and k.size = 1 and a.attname = 'id')
"""
FUNCTIONS = f"""
    select p.oid::regprocedure::text, p.prosrc, l.lanname::text, pg_get_functiondef(p.oid),
           coalesce(p.proargnames[1], ''), p.prorettype = 'trigger'::regtype,
           coalesce(p.proconfig::text, ''), p.pronamespace = 'public'::regnamespace
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace in {SCHEMAS}
    order by 1
"""


@dataclass(frozen=True)
class Function:
    """A function of ours, with the statements of its body."""

    name: str
    first_parameter: str
    is_trigger: bool
    settings: str
    is_public: bool
    statements: tuple[Any, ...]


def keys_without_the_user(connection: psycopg.Connection) -> set[str]:
    """Return the foreign and unique keys that begin with another column than user_id."""
    return {name for (name,) in connection.execute(KEYS.encode())}


def functions_without_the_user(connection: psycopg.Connection) -> set[str]:
    """Return the functions that touch rows of users, and don't take whose first."""
    tables = _tables(connection)
    return {
        function.name
        for function in _functions(connection)
        if not function.is_trigger
        and function.first_parameter != "user_id"
        and any(True for node in function.statements for _ in _references(node, tables))
    }


def statements_without_the_user(connection: psycopg.Connection) -> set[str]:
    """Return function and table of each reference in a statement that doesn't name the user."""
    tables = _tables(connection)
    return {
        f"{function.name}: {table}"
        for function in _functions(connection)
        for node in function.statements
        for table, is_named in _references(node, tables)
        if not is_named
    }


def locks_without_a_timeout(connection: psycopg.Connection) -> set[str]:
    """Return the functions that are called from outside and may wait for a row without end."""
    return {
        function.name
        for function in _functions(connection)
        if function.is_public
        and "lock_timeout" not in function.settings
        and any(_takes_locks(node) for node in function.statements)
    }


def _tables(connection: psycopg.Connection) -> set[str]:
    return {_in_public(f"{schema}.{name}") for schema, name in connection.execute(TABLES.encode())}


def _in_public(text: str) -> str:
    """Return a text as if all of ours were in public: the parser knows types of no other schema."""
    text = re.sub(r"\b(private|search)\.", "public.", text)
    return re.sub(r"\b(?:public\.\w+|branches)\[\]", "text[]", text)  # nor arrays of rows


def _functions(connection: psycopg.Connection) -> Iterator[Function]:
    for (
        name,
        source,
        language,
        definition,
        first,
        is_trigger,
        settings,
        is_public,
    ) in connection.execute(FUNCTIONS.encode()):
        body = _in_public(definition if language == "plpgsql" else source)
        texts = list(_texts(parse_plpgsql(body))) if language == "plpgsql" else [body]
        statements = tuple(raw.stmt for text in texts for raw in parse_sql(text))
        yield Function(name, first, is_trigger, settings, is_public, statements)


def _texts(tree: Any) -> Iterator[str]:
    """Yield each statement and expression of a PL/pgSQL body, as a statement."""
    if isinstance(tree, list):
        for item in tree:
            yield from _texts(item)
    elif isinstance(tree, dict):
        if isinstance(found := tree.get("PLpgSQL_expr"), dict):
            yield _as_statement(found["query"], found["parseMode"])
        for value in tree.values():
            yield from _texts(value)


def _as_statement(text: str, mode: int) -> str:
    """Return what stands behind an assignment, or an expression alone, as a select of it."""
    if mode == 0:
        return text
    return f"select {text if mode == 2 else text.partition(':=')[2]}"


def _references(node: Any, tables: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield each reference to one of these tables, and whether its statement names its user."""
    if isinstance(node, ast.InsertStmt):
        columns = {column.name for column in node.cols or ()}
        if (table := _name_of(node.relation)) in tables:
            yield table, "user_id" in columns
    elif isinstance(node, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt):
        named = {alias for condition in _conditions(node) for alias in _named_in(condition)}
        for place in _places(node):
            if (table := _name_of(place)) in tables:
                yield table, (place.alias.aliasname if place.alias else place.relname) in named
    for child in _children(node):
        yield from _references(child, tables)


def _name_of(place: Any) -> str:
    return f"{place.schemaname}.{place.relname}"


def _places(node: Any) -> Iterator[Any]:
    """Yield the tables of a statement itself, not those of what is nested in it."""
    if isinstance(node, ast.UpdateStmt | ast.DeleteStmt):
        yield node.relation
    sources = node.usingClause if isinstance(node, ast.DeleteStmt) else node.fromClause
    for source in sources or ():
        yield from _tables_of(source)


def _tables_of(source: Any) -> Iterator[ast.RangeVar]:
    if isinstance(source, ast.RangeVar):
        yield source
    elif isinstance(source, ast.JoinExpr):
        yield from _tables_of(source.larg)
        yield from _tables_of(source.rarg)


def _conditions(node: Any) -> Iterator[Any]:
    """Yield what must hold of each row: the parts of `where` and of each `on`."""
    yield from _conjuncts(node.whereClause)
    sources = node.usingClause if isinstance(node, ast.DeleteStmt) else node.fromClause
    for source in sources or ():
        yield from _join_conditions(source)


def _join_conditions(source: Any) -> Iterator[Any]:
    if isinstance(source, ast.JoinExpr):
        yield from _conjuncts(source.quals)
        yield from _join_conditions(source.larg)
        yield from _join_conditions(source.rarg)


def _conjuncts(condition: Any) -> Iterator[Any]:
    if isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.AND_EXPR:
        for part in condition.args or ():
            yield from _conjuncts(part)
    elif condition is not None:
        yield condition


def _named_in(condition: Any) -> Iterator[str]:
    """Yield the aliases whose user_id this condition sets equal to something."""
    if isinstance(condition, ast.A_Expr) and [name.sval for name in condition.name or ()] == ["="]:
        for side in (condition.lexpr, condition.rexpr):
            if isinstance(side, ast.ColumnRef):
                names = [getattr(field, "sval", None) for field in side.fields or ()]
                if names[1:] == ["user_id"]:
                    yield str(names[0])


def _takes_locks(node: Any) -> bool:
    takes = isinstance(node, ast.UpdateStmt | ast.DeleteStmt) or bool(
        isinstance(node, ast.SelectStmt) and node.lockingClause
    )
    return takes or any(_takes_locks(child) for child in _children(node))


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        yield from node
    elif isinstance(node, ast.Node):
        for name in node:
            value = getattr(node, name)
            if isinstance(value, ast.Node | tuple):
                yield value
