"""Fixtures of the broadcast server's tests: one stack for all of them, in each test process."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.integration.realtime_stack import Stack, User

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4()}"
