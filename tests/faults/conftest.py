"""What the fault tests share beside the stack of all tests."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.support.stack import running_stack


@pytest.fixture(scope="session")
def broken_stack() -> Iterator[Stack]:
    """A stack to be killed, stopped and starved at will; each test leaves it healed."""
    with running_stack() as running:
        yield running
