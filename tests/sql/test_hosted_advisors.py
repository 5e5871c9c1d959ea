"""What the platform's newest advisors say of a sound schema: docs/deploy/cli.md explains it.

The lints that the Supabase CLI brings are older; these ask the catalog the same as the platform's
0026 to 0029 do.
"""

import re

import psycopg
import pytest

from local.settings import ROOT

PAGE = ROOT / "docs" / "deploy" / "cli.md"

READABLE = """
select n.nspname || '.' || c.relname
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname in ('public', 'private', 'search')
  and has_any_column_privilege(%s, c.oid, 'select')
"""
DEFINERS = """
select n.nspname || '.' || p.proname
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where p.prosecdef
  and n.nspname in ('public', 'private', 'search')
  and has_function_privilege(%s, p.oid, 'execute')
"""


def named_for(lint: str) -> set[str]:
    """Return what the page says that an advisor finds."""
    row = re.search(rf"^\| `{lint}` \|(.*)\|", PAGE.read_text(), re.MULTILINE)
    assert row is not None
    return set(re.findall(r"`((?:public|private|search)\.\w+)`", row[1]))


@pytest.mark.parametrize(
    ("lint", "query"),
    [
        ("pg_graphql_authenticated_table_exposed", READABLE),
        ("authenticated_security_definer_function_executable", DEFINERS),
    ],
)
def test_what_signed_in_users_reach_is_what_the_page_names(
    db: psycopg.Connection, lint: str, query: str
) -> None:
    """The tables that their owners read, and the functions that run as their owner."""
    found = {name for (name,) in db.execute(query.encode(), ("authenticated",)).fetchall()}
    assert found == named_for(lint)


@pytest.mark.parametrize("query", [READABLE, DEFINERS])
def test_strangers_reach_nothing(db: psycopg.Connection, query: str) -> None:
    """So the advisors for `anon` find nothing of ours."""
    assert db.execute(query.encode(), ("anon",)).fetchall() == []
