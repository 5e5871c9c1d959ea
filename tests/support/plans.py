"""The plans that statements inside of a function really had, with what they read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

WATCH = """
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_level = notice;
"""


@contextmanager
def watched_plans(connection: psycopg.Connection) -> Iterator[list[str]]:
    """Collect the plan of each statement of a superuser's connection, the inner ones first."""
    plans: list[str] = []

    def note(diagnostic: Any) -> None:
        if "Query Text:" in (diagnostic.message_primary or ""):
            plans.append(diagnostic.message_primary)

    connection.execute(WATCH.encode())
    connection.add_notice_handler(note)
    try:
        yield plans
    finally:
        connection.remove_notice_handler(note)
        connection.execute("reset role")
        connection.execute("set auto_explain.log_min_duration = -1")
