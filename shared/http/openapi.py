"""The OpenAPI document: FastAPI's own, with what each name means and an example of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from .vocabulary import word_for

if TYPE_CHECKING:
    from collections.abc import Iterator

FASTAPIS_ERRORS = ("HTTPValidationError", "ValidationError")
BEARER: dict[str, Any] = {"security": [{"HTTPBearer": []}]}  # of an operation for verified callers
BEARER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "The signed-in user's access token.",
}
METHODS = {"get", "put", "post", "delete", "patch", "head"}


class DocumentedApp(FastAPI):
    """An application whose document describes every property and parameter."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; it is made once."""
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if not is_made:
            document["components"]["securitySchemes"] = {"HTTPBearer": BEARER_SCHEME}
            _leave_out_fastapis_own_errors(document)
            _describe(document)
        return document


def _leave_out_fastapis_own_errors(document: dict[str, Any]) -> None:
    """A request that is wrong is answered in our shape, with another status than FastAPI's."""
    for model in FASTAPIS_ERRORS:
        document["components"]["schemas"].pop(model, None)
    for _, operation in _operations(document):
        content = operation["responses"].get("422", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith(FASTAPIS_ERRORS):
            del operation["responses"]["422"]


def _describe(document: dict[str, Any]) -> None:
    for model, schema in document.get("components", {}).get("schemas", {}).items():
        for name, its in schema.get("properties", {}).items():
            _complete(its, name, model)
    for path, operation in _operations(document):
        endpoint = path.split("/")[3]
        for parameter in operation.get("parameters", ()):
            _complete(parameter, parameter["name"], endpoint)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method in METHODS & operations.keys():
            yield path, operations[method]


def _complete(its: dict[str, Any], name: str, owner: str) -> None:
    """Add what isn't said at the property itself."""
    word = word_for(name, owner)
    if word is None:
        return
    its.setdefault("description", word.description)
    is_parameter = "in" in its
    for inner, schema in its.get("properties", {}).items():
        _complete(schema, inner, name)
    if not {"const", "example", "examples"} & its.keys():
        its |= {"example": word.example} if is_parameter else {"examples": [word.example]}
