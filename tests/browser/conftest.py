"""One stack for the tests that leave it running, and a browser for each file."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from local.stack import Stack
from tests.support.browser import SLOW_AI, prepare_page, running_browser
from tests.support.stack import shared_among_workers, shared_stack
from tests.support.users import User, sign_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each file one event loop: a browser belongs to the loop that it was started in."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the page, whose AI takes its time: never break it."""
    prepare_page()
    with shared_stack(shared_among_workers(tmp_path_factory), "site", **SLOW_AI) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser; each visitor has a profile of their own in it."""
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visiting_user(site: Stack) -> AsyncIterator[User]:
    """A new user of the page."""
    signed_up = await sign_up(site)
    yield signed_up
    await signed_up.functions.aclose()
