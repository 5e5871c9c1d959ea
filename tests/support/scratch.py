"""Fixtures: a bare Postgres of the tests' own, and databases on it to be broken at will."""

from collections.abc import Iterator

import psycopg
import pytest

from local import database
from local.schema import migration_texts
from tests.support.catalog import describe
from tests.support.partitions import partitioned
from tests.support.postgres import Server, running_server

MIGRATED = "migrated"


@pytest.fixture(scope="session")
def bare_server() -> Iterator[Server]:
    """An embedded server, with a migrated database on it."""
    with running_server() as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"create database {MIGRATED}".encode())
        database.shape(server.url(MIGRATED))
        database.migrate(server.url(MIGRATED))
        yield server


@pytest.fixture(scope="session")
def catalog(bare_server: Server) -> str:
    """The catalog that the migrations make, on the Postgres that the stack has too."""
    with psycopg.connect(bare_server.url(MIGRATED)) as connection:
        return describe(connection)


@pytest.fixture(scope="session")
def partitioned_url(bare_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of the same server, with the schema in partitions."""
    folder = tmp_path_factory.mktemp("partitions")
    (folder / "1_partitioned.sql").write_text(partitioned("\n".join(migration_texts().values())))
    with bare_server.database() as url:
        database.shape(url)
        database.migrate(url, folder)
        yield url


@pytest.fixture(scope="session")
def whole(bare_server: Server) -> str:
    """All of a migrated database."""
    with psycopg.connect(bare_server.url(MIGRATED)) as connection:
        return describe(connection, None)


@pytest.fixture
def shaped_url(bare_server: Server) -> Iterator[str]:
    """An empty database, shaped like Supabase's."""
    with bare_server.database() as url:
        database.shape(url)
        yield url


@pytest.fixture
def scratch(bare_server: Server) -> Iterator[psycopg.Connection]:
    """A migrated database, as its superuser, in a transaction that is rolled back."""
    with psycopg.connect(bare_server.url(MIGRATED)) as connection:
        yield connection
        connection.rollback()
