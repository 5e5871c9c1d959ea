"""The user gate: every key, function and statement of ours starts with the user, or names them.

Keys are read from the catalog, bodies of functions by Postgres's own parser. What is allowed all
the same is listed, with its reason, in test_user_gate.py.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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
VIEWS = f"""
    select relnamespace::regnamespace::text, relname::text
    from pg_class where relnamespace in {SCHEMAS} and relkind in ('v', 'm')
"""
# A primary key may be the id alone; where it is all that a table has, it is a key like any other.
KEYS = f"""
    with keys as (
        select c.conname::text as name, c.conrelid,
               case when a.attname = 'user_id' or c.confrelid = 'auth.users'::regclass
                   then c.conkey[1] end as leads,
               cardinality(c.conkey) as size, false as is_primary
        from pg_constraint as c
        join pg_attribute as a on a.attrelid = c.confrelid and a.attnum = c.confkey[1]
        where c.contype = 'f' and c.connamespace in {SCHEMAS}
        union all
        select i.indexrelid::regclass::text, i.indrelid, i.indkey[0], i.indnkeyatts, i.indisprimary
        from pg_index as i
        join pg_class as c on c.oid = i.indrelid
        where (i.indisunique or i.indisexclusion) and c.relnamespace in {SCHEMAS}
    )
    select k.name
    from keys as k
    left join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.leads
    where a.attname is distinct from 'user_id'
      and not (k.is_primary and k.size = 1 and a.attname = 'id')
"""
FUNCTIONS = f"""
    select p.oid::regprocedure::text,
           case when l.lanname = 'plpgsql' or p.prosrc = '' then pg_get_functiondef(p.oid)
               else p.prosrc end,
           l.lanname = 'plpgsql',
           p.proargnames[1] = 'user_id' and p.proargtypes[0] = 'uuid'::regtype
               and coalesce(p.proargmodes[1], 'i') in ('i', 'b'),
           p.prorettype = 'trigger'::regtype,
           coalesce(p.proconfig::text, ''), p.pronamespace = 'public'::regnamespace,
           has_function_privilege('authenticated', p.oid, 'execute')
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace in {SCHEMAS} and p.prokind <> 'a'
    union all
    select format('%s on %s', polname, polrelid::regclass),
           concat_ws('; ', 'select ' || pg_get_expr(polqual, polrelid),
                     'select ' || pg_get_expr(polwithcheck, polrelid)),
           false, true, false, '', false, false
    from pg_policy
    order by 1
"""
# What a text is about that is put together while it runs: nobody knows.
DYNAMIC = {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"}
UNKNOWN = "public.what it is given"
ACCOUNTS = "auth.users"
STATEMENTS = ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt
EQUAL = {enums.A_Expr_Kind.AEXPR_OP, enums.A_Expr_Kind.AEXPR_NOT_DISTINCT}


@dataclass(frozen=True)
class Function:
    """A function of ours, with the statements of its body."""

    name: str
    statements: tuple[Any, ...]
    takes_user: bool
    is_trigger: bool
    settings: str
    is_public: bool
    is_granted: bool


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
        and not function.takes_user
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


def functions_for_anybody(connection: psycopg.Connection) -> set[str]:
    """Return what a signed-in user may call without being asked whether the user is them."""
    return {
        function.name
        for function in _functions(connection)
        if function.is_public and function.is_granted
        if not any(_asks_who_calls(node) for node in function.statements)
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
    """Return the tables of users' rows and views of them, by their names with and without public.

    With them the accounts, and what only a running function knows.
    """
    query = f"{TABLES} union {VIEWS}"
    names = [name for _, name in connection.execute(query.encode())]
    return {ACCOUNTS, UNKNOWN, *names, *(f"public.{name}" for name in names)}


def _in_public(text: str) -> str:
    """Return a text as if all of ours were in public: the parser knows types of no other schema."""
    text = re.sub(r"\b(private|search)\.", "public.", text)
    return re.sub(r"\b(?:public\.\w+|branches)\[\]", "text[]", text)  # nor arrays of rows


def _functions(connection: psycopg.Connection) -> Iterator[Function]:
    for name, source, is_plpgsql, *about in connection.execute(FUNCTIONS.encode()):
        yield Function(name, _statements(source, is_plpgsql), *about)


@cache  # parsing takes longest, and a test changes one function
def _statements(source: str, is_plpgsql: bool) -> tuple[Any, ...]:
    body = _in_public(source)
    texts = [*_texts(parse_plpgsql(body))] if is_plpgsql else [body]
    return tuple(raw.stmt for text in texts for raw in parse_sql(text))


def _texts(tree: Any) -> Iterator[str]:
    """Yield each statement and expression of a PL/pgSQL body, as a statement."""
    if isinstance(tree, list):
        for item in tree:
            yield from _texts(item)
    elif isinstance(tree, dict):
        if isinstance(found := tree.get("PLpgSQL_expr"), dict):
            yield _as_statement(found["query"], found["parseMode"])
        for key, value in tree.items():
            executed = "query" if key in DYNAMIC else "dynquery"
            if isinstance(value, dict) and executed in value:
                yield _as_dynamic(value[executed]["PLpgSQL_expr"]["query"])
            yield from _texts(value)


def _as_statement(text: str, mode: int) -> str:
    """Return what stands behind an assignment, or an expression alone, as a select of it."""
    if mode == 0:
        return text
    return f"select {text if mode == 2 else re.split(':?=', text, maxsplit=1)[1]}"


def _as_dynamic(text: str) -> str:
    """Return what `execute` is given where that is written there, and else what nobody knows."""
    select: Any = parse_sql(f"select {text}")[0].stmt
    value = select.targetList[0].val
    is_written = isinstance(value, ast.A_Const) and isinstance(value.val, ast.String)
    return str(value.val.sval) if is_written else 'select from public."what it is given"'


def _references(
    node: Any, tables: set[str], named: frozenset[str] = frozenset()
) -> Iterator[tuple[str, bool]]:
    """Yield each reference to one of these tables, and whether its statement names its user."""
    if clause := getattr(node, "withClause", None):
        tables = tables - {cte.ctename for cte in clause.ctes}
    if isinstance(node, ast.InsertStmt):
        columns = {column.name for column in node.cols or ()}
        named = frozenset({_alias_of(node.relation)} if "user_id" in columns else ())
    elif isinstance(node, STATEMENTS):
        named = _named_in(node, tables)
    elif isinstance(node, ast.RangeVar) and (table := _name_of(node)) in tables:
        yield table, _alias_of(node) in named
    for child in _children(node):
        yield from _references(child, tables, named)


def _name_of(place: Any) -> str:
    schema = {"private": "public", "search": "public"}.get(place.schemaname, place.schemaname)
    return f"{schema}.{place.relname}" if schema else str(place.relname)


def _alias_of(place: Any) -> str:
    return str(place.alias.aliasname if place.alias else place.relname)


def _named_in(node: Any, tables: set[str]) -> frozenset[str]:
    """Return the aliases of which a statement says whose rows it means, directly or by a join."""
    sources = _sources(node)
    places = {_alias_of(place): place for source in sources for place in _tables_of(source)}
    names = {alias: _name_of(place) for alias, place in places.items()}
    loose = {alias for alias, name in names.items() if name in tables}
    everything = [*_conjuncts(getattr(node, "whereClause", None))]
    found = [
        *((places.keys(), condition) for condition in everything),
        *(pair for source in sources for pair in _join_conditions(source)),
    ]
    equal = [
        (alias, other)
        for held, condition in found
        for alias, other in _equalities(condition, names)
        if alias in held
    ]
    while more := {alias for alias, other in equal if alias in loose and _is_given(other, loose)}:
        loose -= more
    return frozenset(places.keys() - loose)


def _sources(node: Any) -> list[Any]:
    """Return the tables of a statement itself, not those of what is nested in it."""
    if isinstance(node, ast.MergeStmt):
        return [
            ast.JoinExpr(
                jointype=enums.JoinType.JOIN_INNER,
                larg=node.relation,
                rarg=node.sourceRelation,
                quals=node.joinCondition,
            )
        ]
    changed = [] if isinstance(node, ast.SelectStmt) else [node.relation]
    return [*changed, *(getattr(node, "usingClause", getattr(node, "fromClause", None)) or ())]


def _tables_of(source: Any) -> Iterator[ast.RangeVar]:
    if isinstance(source, ast.RangeVar):
        yield source
    elif isinstance(source, ast.JoinExpr):
        yield from _tables_of(source.larg)
        yield from _tables_of(source.rarg)


def _join_conditions(source: Any) -> Iterator[tuple[set[str], Any]]:
    """Yield each condition of a join, with the aliases of whose rows it must hold."""
    if not isinstance(source, ast.JoinExpr):
        return
    left, right = ({_alias_of(p) for p in _tables_of(s)} for s in (source.larg, source.rarg))
    held = {
        enums.JoinType.JOIN_INNER: left | right,
        enums.JoinType.JOIN_LEFT: right,
        enums.JoinType.JOIN_RIGHT: left,
    }.get(source.jointype or enums.JoinType.JOIN_INNER, set())
    for condition in _conjuncts(source.quals):
        yield held, condition
    if "user_id" in {column.sval for column in source.usingClause or ()}:
        for one, other in itertools.product(left, right):
            yield held, _equal(one, other)
    yield from _join_conditions(source.larg)
    yield from _join_conditions(source.rarg)


def _equal(one: str, other: str) -> Any:
    """Return the condition that two tables' rows are of the same user."""
    left, right = (
        ast.ColumnRef((ast.String(alias), ast.String("user_id"))) for alias in (one, other)
    )
    return ast.A_Expr(enums.A_Expr_Kind.AEXPR_OP, (ast.String("="),), left, right)


def _conjuncts(condition: Any) -> Iterator[Any]:
    if isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.AND_EXPR:
        for part in condition.args or ():
            yield from _conjuncts(part)
    elif isinstance(condition, ast.A_Expr) and isinstance(condition.lexpr, ast.RowExpr):
        sides = (getattr(side, "args", None) or () for side in (condition.lexpr, condition.rexpr))
        for left, right in zip(*sides, strict=False):
            yield ast.A_Expr(condition.kind, condition.name, left, right)
    elif condition is not None:
        yield condition


def _equalities(condition: Any, tables: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the aliases whose user this condition sets equal to something, and to what."""
    if not isinstance(condition, ast.A_Expr) or [n.sval for n in condition.name or ()] != ["="]:
        return
    left, right = condition.lexpr, condition.rexpr
    if condition.kind not in EQUAL and not isinstance(right, ast.A_ArrayExpr):
        return
    for side, other in ((left, right), (right, left)):
        alias, *column = _names(side) or [""]
        if not column and len(tables) == 1:
            alias, column = next(iter(tables)), [alias]
        if column == ["id" if tables.get(alias) == ACCOUNTS else "user_id"]:
            yield alias, other


def _is_given(value: Any, loose: set[str]) -> bool:
    """Return whether a value is known without the tables of which nobody said whose rows."""
    first, *column = _names(value) or ["v_"]
    if first in loose or not (first.startswith("v_") or column in (["user_id"], ["id"])):
        return False
    return all(_is_given(child, loose) for child in _children(value))


def _names(node: Any) -> list[str]:
    """Return what a column is called by, from its table on."""
    fields = node.fields or () if isinstance(node, ast.ColumnRef) else ()
    return [str(getattr(field, "sval", "*")) for field in fields]


def _asks_who_calls(node: Any) -> bool:
    if isinstance(node, ast.FuncCall) and (node.funcname or ())[-1].sval == "require_self":
        return any(_names(argument)[-1:] == ["user_id"] for argument in node.args or ())
    return any(_asks_who_calls(child) for child in _children(node))


def _takes_locks(node: Any) -> bool:
    takes = isinstance(node, ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt | ast.LockStmt)
    asks = getattr(node, "lockingClause", None) or getattr(node, "onConflictClause", None)
    return takes or bool(asks) or any(_takes_locks(child) for child in _children(node))


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        yield from node
    elif isinstance(node, ast.Node):
        for name in node:
            value = getattr(node, name)
            if isinstance(value, ast.Node | tuple):
                yield value
