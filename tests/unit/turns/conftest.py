"""All tests of the heart run in virtual time."""

from collections.abc import Callable

import pytest

from shared.observability import telemetry
from tests.support.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], VirtualLoop]]:
    """Give each of these tests a loop of its own, whose clock jumps."""
    return {"virtual": VirtualLoop}


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How turns have ended for their workers, one after the other."""
    outcomes: list[str] = []

    def count(name: str, **attributes: str) -> None:
        if name == "turns.ended":
            outcomes.append(attributes["outcome"])

    monkeypatch.setattr(telemetry, "count", count)
    return outcomes
