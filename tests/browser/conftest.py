"""One stack for the tests that leave it running, and one browser in each process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from local.stack import Stack
from tests.support.browser import PAGE_AI, prepare_page, running_browser
from tests.support.stack import shared_among_workers, shared_stack
from tests.support.users import User, make_user


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests one event loop: a browser belongs to the loop that it was started in."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the page: never break it."""
    prepare_page()
    with shared_stack(shared_among_workers(tmp_path_factory), "site", **PAGE_AI) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser; each visitor has an empty profile in it."""
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visiting_user(site: Stack) -> AsyncIterator[User]:
    """A new user of the page."""
    signed_up = await make_user(site)
    yield signed_up
    await signed_up.functions.aclose()
