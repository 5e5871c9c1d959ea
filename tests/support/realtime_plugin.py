"""Fixtures of the broadcast server's tests: one stack for all of them, in each test process."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.realtime_stack import Owner, RealtimeStack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def realtime() -> Iterator[RealtimeStack]:
    stack = RealtimeStack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4()}"
