"""Fixtures for every test: the shared stack, users of it, and its database."""

import functools
import gc
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from local.stack import Stack
from tests.support.proxy import Proxy, proxy_to
from tests.support.stack import running_stack, shared_among_workers, shared_stack
from tests.support.users import User, make_user

pytest_plugins = ["tests.support.leftovers", "tests.support.scratch"]

# Each HTTP client reads every certificate authority, which takes longer than most tests' requests.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]

# What is imported and collected stays to the end: it isn't looked through for garbage meanwhile.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage from now on, of what tests make."""
    gc.freeze()
    gc.enable()


# A worker is given whole files, in this order. Those of a folder are spread over the run, so that
# browsers, waiting for what is to fail, and computing share it at any time; but most of the unit
# tests' come last, which are quick, so that all workers end together.
QUICK = "unit"
UNTIL = 0.6  # of the run, for all but the quick ones


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files."""
    root = Path(__file__).parent
    folders: dict[str, list[Path]] = {}
    for path in dict.fromkeys(item.path for item in items):
        folders.setdefault(path.relative_to(root).parts[0], []).append(path)
    places = {
        path: (1 if folder == QUICK else UNTIL) * place / len(files)
        for folder, files in folders.items()
        for place, path in enumerate(files)
    }
    items.sort(key=lambda item: (places[item.path], item.path))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that all tests share: never break it."""
    with shared_stack(shared_among_workers(tmp_path_factory), "stack") as running:
        yield running


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack for one test, to be killed and started at will."""
    with running_stack() as running:
        yield running


@pytest.fixture
def db(stack: Stack) -> Iterator[psycopg.Connection]:
    """The shared stack's database, as its superuser, outside of any transaction."""
    with psycopg.connect(stack.settings.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """A new user."""
    signed_up = await make_user(stack)
    yield signed_up
    await signed_up.functions.aclose()


@pytest.fixture
async def other_user(stack: Stack) -> AsyncIterator[User]:
    """Another new user, who owns nothing of the first one's."""
    signed_up = await make_user(stack)
    yield signed_up
    await signed_up.functions.aclose()


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    """The stack behind a proxy that the test may spoil."""
    async with proxy_to(stack.settings.url) as running:
        yield running
