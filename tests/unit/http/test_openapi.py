"""The OpenAPI document: every name is described, every error is said, and nothing is left over."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from functions.app import app
from local.settings import ROOT
from shared.errors import every_error
from shared.http.vocabulary import WORDS

DOCUMENT = app.openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
SCALARS = {"string", "integer", "number", "boolean", "null"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each operation with the name of its endpoint."""
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            yield path.split("/")[3], operation


def names() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each property and parameter, with what it is of: a model, an endpoint, an event."""
    for model, schema in SCHEMAS.items():
        yield from properties(model, schema)
    for operation, what in operations():
        for parameter in what.get("parameters", ()):
            yield operation, parameter["name"], parameter
        for event, data in events_of(what):
            yield from (row for row in properties(event, data) if "$ref" not in row[2])


def properties(owner: str, schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the properties of an object, and of those within it."""
    for name, its in schema.get("properties", {}).items():
        yield owner, name, its
        yield from properties(name, its)


def events_of(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of an operation's stream, each with its data's schema."""
    content = operation["responses"].get("200", {}).get("content", {})
    for event in content.get("text/event-stream", {}).get("itemSchema", {}).get("oneOf", ()):
        yield event["title"], event["properties"]["data"]["contentSchema"]


def types_of(schema: dict[str, Any]) -> set[str]:
    """Return the types that a value may have."""
    return {one.get("type", "object") for one in schema.get("anyOf", schema.get("oneOf", [schema]))}


@pytest.mark.promise("documentation", red="a word less in shared/http/vocabulary")
def test_every_name_has_a_description_and_an_example() -> None:
    """Those of the rows, too."""
    missing = [
        f"{where}: {name}"
        for where, name, its in names()
        if not its.get("description")
        or not {"example", "examples", "const", "enum", "default"} & {*its, *its.get("schema", {})}
    ]
    assert missing == []


def test_an_example_is_one() -> None:
    """It is of the type, and within the bounds, that its property has."""
    wrong = []
    for where, name, its in names():
        schema = its.get("schema", its)
        example = its["example"] if "example" in its else its.get("examples", [None])[0]
        if {"example", "examples"} & its.keys() and types_of(schema) <= SCALARS:
            found = jsonschema_rs.validator_for(schema).iter_errors(example)
            wrong += [f"{where}: {name}: {error.message}" for error in found]
    assert wrong == []


def test_every_word_is_of_the_api() -> None:
    """None is left of a property that is gone."""
    used = {name for _, name, _ in names()} | {f"{model}.{name}" for model, name, _ in names()}
    assert WORDS.keys() - used == set()


@pytest.mark.promise("documentation", red="an endpoint's own error isn't named at it")
def test_every_error_stands_at_an_operation_with_its_status() -> None:
    """By its code, with the sentence that is answered."""
    said = {
        (int(status), code)
        for _, operation in operations()
        for status, answer in operation["responses"].items()
        for code in answer.get("content", {}).get("application/json", {}).get("examples", {})
    }
    assert said >= {(error.status, error.code) for error in every_error()}


def test_the_page_of_errors_has_each_code() -> None:
    """And says what to do about it."""
    page = (ROOT / "docs" / "errors.md").read_text()
    assert [error.code for error in every_error() if f"`{error.code}`" not in page] == []
