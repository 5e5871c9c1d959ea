"""One stack for the tests that leave it running, and a browser for each."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from local.stack import Stack
from tests.support.browser import page_stack, running_browser
from tests.support.users import User, sign_up


@pytest.fixture(scope="session")
def site() -> Iterator[Stack]:
    """A stack with the page, whose AI takes its time: never break it."""
    with page_stack() as stack:
        yield stack


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser for one test."""
    async with running_browser() as running:
        yield running


@pytest.fixture
async def visiting_user(site: Stack) -> AsyncIterator[User]:
    """A new user of the page."""
    signed_up = await sign_up(site)
    yield signed_up
    await signed_up.functions.aclose()
