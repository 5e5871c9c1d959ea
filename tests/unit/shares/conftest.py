"""Who waits how long, in virtual time."""

from collections.abc import Callable

import pytest

from tests.support.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], VirtualLoop]]:
    """Give each of these tests a loop of its own, whose clock jumps."""
    return {"virtual": VirtualLoop}
