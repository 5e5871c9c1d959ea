"""The same schema in 16 hash partitions by user: what names the user everywhere runs unchanged."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.stack import shared_among_workers, shared_stack

PARTITIONS = 16
TABLE = re.compile(
    r"^create table (?P<name>[\w.]+) \(\n(?P<body>.*?)^\);$", re.MULTILINE | re.DOTALL
)


def partitioned(schema: str) -> str:
    """Return a schema with every table of users' rows partitioned by user."""
    return TABLE.sub(_partition, schema)


def _partition(table: re.Match[str]) -> str:
    name, body = table["name"], table["body"]
    if not re.search(r"^    user_id uuid not null", body, re.MULTILINE):
        return table[0]  # rows of nobody too
    body = body.replace("primary key (id)", "primary key (user_id, id)")
    parts = "\n".join(
        f"create table {name}_{n} partition of {name}\n"
        f"    for values with (modulus {PARTITIONS}, remainder {n});"
        for n in range(PARTITIONS)
    )
    return f"create table {name} (\n{body}) partition by hash (user_id);\n{parts}"


@pytest.fixture(scope="module", params=["one table each", "partitioned"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The shared stack, then a database with the schema in partitions: import it to have both."""
    if request.param == "partitioned":
        db_url = request.getfixturevalue("partitioned_url")
        yield SimpleNamespace(settings=SimpleNamespace(db_url=db_url))
        return
    with shared_stack(shared_among_workers(tmp_path_factory), "stack") as running:
        yield running
