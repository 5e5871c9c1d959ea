"""Fixtures of the SQL tests on a running stack: a file that takes one's name has it."""

from collections.abc import Iterator

import psycopg
import pytest

from local.stack import Stack
from tests.support.sql_calls import Caller, as_service, make_account


@pytest.fixture
def service(stack: Stack) -> Iterator[Caller]:
    """The backend's role."""
    with as_service(stack.settings.db_url) as caller:
        yield caller


@pytest.fixture
def owner(db: psycopg.Connection) -> str:
    """A user's id."""
    return make_account(db)
