"""What the fault tests share beside the stack of all tests."""

from collections.abc import Callable, Iterator

import pytest

from local.stack import Stack
from tests.support.roads import DIRECT
from tests.support.stack import running_stack

Road = Callable[[Stack], dict[str, str]]


@pytest.fixture(scope="session")
def broken_stack() -> Iterator[Stack]:
    """A stack to be killed, stopped and starved at will; each test leaves it healed."""
    with running_stack() as running:
        yield running


@pytest.fixture(params=["data_api", DIRECT])
def by_road(request: pytest.FixtureRequest) -> Road:
    """Give the settings that make the bundle take each road to a stack's store."""
    if request.param == "data_api":
        return lambda _: {}
    return lambda stack: {"supabase_db_url": stack.settings.direct_url}
