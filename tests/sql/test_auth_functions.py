"""auth.uid() and its like: the hosted definitions, also after the Data API has started."""

import json
from pathlib import Path

import psycopg
import pytest

from local.stack import Stack
from tests.support.gateway import second_gateway

CLAIMS = {
    "sub": "00000000-0000-0000-0000-000000000001",
    "role": "authenticated",
    "email": "ada@example.com",
}
ASK = "select auth.uid()::text, auth.role(), auth.email()"


@pytest.fixture
def transaction(stack: Stack) -> psycopg.Connection:
    """A transaction on the shared stack's database, without claims."""
    return psycopg.connect(stack.settings.db_url)


def set_local(connection: psycopg.Connection, name: str, value: str) -> None:
    """Set a value until the transaction ends."""
    connection.execute("select set_config(%s, %s, true)", (name, value))


def test_claims_are_read_from_one_object(transaction: psycopg.Connection) -> None:
    """As PostgREST sets them."""
    with transaction:
        set_local(transaction, "request.jwt.claims", json.dumps(CLAIMS))
        assert transaction.execute(ASK).fetchone() == tuple(CLAIMS.values())
        assert transaction.execute("select auth.jwt()").fetchone() == (CLAIMS,)


def test_claims_of_their_own_go_first(transaction: psycopg.Connection) -> None:
    """As the Data API of the local stack sets them, and older ones did."""
    with transaction:
        set_local(transaction, "request.jwt.claims", '{"sub": "nobody", "role": "x", "email": "x"}')
        for name, value in CLAIMS.items():
            set_local(transaction, f"request.jwt.claim.{name}", value)
        assert transaction.execute(ASK).fetchone() == tuple(CLAIMS.values())


def test_without_claims_all_are_null(transaction: psycopg.Connection) -> None:
    """Where they are empty as well as where they were never set."""
    with transaction:
        for _ in range(2):
            assert transaction.execute(f"{ASK}, auth.jwt()").fetchone() == (None,) * 4
            for name in ("claims", "claim.sub", "claim.role", "claim.email"):
                set_local(transaction, f"request.jwt.{name}", "")


async def test_a_data_api_that_starts_leaves_them_as_they_are(
    stack: Stack, tmp_path: Path, db: psycopg.Connection
) -> None:
    """Its library has definitions of its own, which know no object."""
    bodies = (
        "select proname, prosrc from pg_proc"
        " where pronamespace = 'auth'::regnamespace order by proname"
    )
    before = db.execute(bodies).fetchall()
    async with second_gateway(stack, tmp_path):
        assert db.execute(bodies).fetchall() == before
    assert [name for name, _ in before] == ["email", "jwt", "role", "uid"]
