"""supabase/config.toml: the schema that the API serves, and a table for each forwarder.

The file is the project's. What is added can be found again and taken out, and the rest stays as it
is, byte for byte. (A TOML library writes it nearly so, which is not enough.) Each edit is checked:
read before and after, the file differs in what was wanted and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from .blocks import content_of, with_block, without_block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

API_BLOCK, FUNCTIONS_BLOCK = "the API's schemas", "functions"
ADDED = '# "{schema}" was added to the schemas of [api], above.\n'

# What the API serves where a project doesn't say.
DEFAULT_SCHEMAS = ["public", "graphql_public"]

HEADER = re.compile(r"^[ \t]*\[[ \t]*api[ \t]*\][ \t]*(?:#[^\n]*)?\n", re.MULTILINE)
NEXT_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
# A request that names no schema goes to the first, so that one stays the first.
FIRST = re.compile(
    r"""^[ \t]*schemas[ \t]*=[ \t]*\[(?:\s|\#[^\n]*\n)*(?:"[^"\n]*"|'[^'\n]*')""",
    re.MULTILINE | re.VERBOSE,
)
OUR_LINE = re.compile(
    r'^schemas = \["\w+", "(?P<schema>\w+)"[^\n]*\] # message-persistence\n', re.MULTILINE
)
OUR_NOTE = re.compile(r'^# "(?P<schema>\w+)" was added', re.MULTILINE)


class CannotEditError(ValueError):
    """The file is written in a way that this doesn't know how to change."""


def exposed_schemas(text: str) -> list[str]:
    """Return the schemas that the API serves."""
    return list(tomllib.loads(text).get("api", {}).get("schemas", DEFAULT_SCHEMAS))


def declares_schema(text: str) -> bool:
    """Say whether the project writes its migrations from files that declare its schema."""
    migrations = tomllib.loads(text).get("db", {}).get("migrations", {})
    return bool(migrations.get("schema_paths"))


def verifying_functions(text: str, names: Collection[str]) -> list[str]:
    """Return those of these functions that the file has the platform verify tokens for."""
    functions = tomllib.loads(text).get("functions", {})
    there = [name for name in names if name in functions]
    return [name for name in there if functions[name].get("verify_jwt", True)]


def expose(text: str, schema: str) -> str:
    """Return the file with the schema among those that the API serves."""
    served = exposed_schemas(text)
    if schema in served:
        return text
    wanted = [*served[:1], schema, *served[1:]]
    line = "schemas = [{}] # message-persistence\n".format(
        ", ".join(f'"{name}"' for name in wanted)
    )
    if "schemas" in tomllib.loads(text).get("api", {}):
        changed = _in_api(text, lambda table: FIRST.sub(rf'\g<0>, "{schema}"', table, count=1))
        changed = with_block(changed, API_BLOCK, ADDED.format(schema=schema))
    elif header := HEADER.search(text):
        changed = f"{text[: header.end()]}{line}{text[header.end() :]}"
    else:
        changed = with_block(text, API_BLOCK, f"[api]\n{line}")
    return _checked(text, changed, lambda config: _serve(config, wanted))


def hide(text: str) -> str:
    """Return the file without what `expose` has added, if it has."""
    content = content_of(text, API_BLOCK)
    found = OUR_LINE.search(text) or OUR_NOTE.search(content or "")
    if found is None:
        return text
    schema = found["schema"]
    wanted = [name for name in exposed_schemas(text) if name != schema]
    changed = OUR_LINE.sub("", without_block(text, API_BLOCK), count=1)
    if found.re is OUR_NOTE:
        item = re.compile(rf""",\s*["']{schema}["']|["']{schema}["']\s*,\s*""")
        changed = _in_api(changed, lambda table: item.sub("", table, count=1))
    return _checked(text, changed, lambda config: _serve(config, wanted))


def add_functions(text: str, names: Collection[str]) -> str:
    """Return the file with a table for each of these functions that has none."""
    there = tomllib.loads(text).get("functions", {})
    new = [name for name in names if name not in there]
    if not new:
        return text
    tables = "".join(f"[functions.{name}]\nverify_jwt = false\n" for name in new)
    changed = with_block(text, FUNCTIONS_BLOCK, tables)
    return _checked(
        text,
        changed,
        lambda config: config.setdefault("functions", {}).update(
            {name: {"verify_jwt": False} for name in new}
        ),
    )


def remove_functions(text: str) -> str:
    """Return the file without the tables that `add_functions` has added."""
    content = content_of(text, FUNCTIONS_BLOCK)
    if content is None:
        return text
    ours = tomllib.loads(content).get("functions", {})

    def without(config: dict[str, Any]) -> None:
        rest = {name: table for name, table in config["functions"].items() if name not in ours}
        config["functions"] = rest

    return _checked(text, without_block(text, FUNCTIONS_BLOCK), without)


def _in_api(text: str, edit: Callable[[str], str]) -> str:
    header = HEADER.search(text)
    if header is None:
        raise CannotEditError
    following = NEXT_HEADER.search(text, header.end())
    end = following.start() if following else len(text)
    return text[: header.end()] + edit(text[header.end() : end]) + text[end:]


def _serve(config: dict[str, Any], schemas: list[str]) -> None:
    config.setdefault("api", {})["schemas"] = schemas


def _checked(text: str, changed: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Return the changed text if it says what the old one does, but for this change."""
    wanted = tomllib.loads(text)
    change(wanted)
    try:
        said = tomllib.loads(changed)
    except tomllib.TOMLDecodeError as exc:
        raise CannotEditError from exc
    if _meaning(said) != _meaning(wanted):
        raise CannotEditError
    return changed


def _meaning(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a configuration says: what it leaves out is an empty table or the default."""
    api = {"schemas": DEFAULT_SCHEMAS, **config.get("api", {})}
    return {**config, "api": api, "functions": config.get("functions", {})}
