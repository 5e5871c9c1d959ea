"""SQL as its statements, and what each of them makes: enough for our own migrations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# In which a semicolon ends nothing. A comment stays with the statement that follows.
PIECE = re.compile(
    r"""
    --[^\n]* | /\*.*?\*/
    | [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*"
    | \$(\w*)\$.*?\$\1\$
    | ;
    """,
    re.DOTALL | re.VERBOSE,
)
COMMENT = re.compile(r"\s*(?:--[^\n]*|/\*.*?\*/)", re.DOTALL)

MAKES = re.compile(
    r"create (?:or replace )?(?:unique )?"
    r"(?:(?P<kind>function|procedure|table|view|type|schema|sequence)"
    r"(?: if not exists)? (?P<name>[\w.]+)"
    r"|(?P<part>policy|trigger|index) (?P<its>\w+)\s[^;]*?\bon (?P<table>[\w.]+))"
)
KEY = re.compile(r"constraint (\w+)\s+(?:primary key|unique)")


@dataclass(frozen=True)
class Made:
    """A thing that a statement makes; a policy, a trigger or an index with its table's name."""

    kind: str
    name: str
    table: str = ""
    command: str = "all"  # of a policy

    @property
    def schema(self) -> str:
        """Return the schema that it is in; of a schema its own name."""
        return (self.table or self.name).partition(".")[0]


def split(sql: str) -> list[str]:
    """Return the statements, each with the comments before it and its semicolon."""
    statements, start = [], 0
    for piece in PIECE.finditer(sql):
        if piece[0] == ";":
            statements.append(sql[start : piece.end()])
            start = piece.end()
    rest = sql[start:]
    return [*statements, rest] if bare(rest) else statements


def bare(statement: str) -> str:
    """Return a statement without the comments before it."""
    while found := COMMENT.match(statement):
        statement = statement[found.end() :]
    return statement.strip()


def made_by(texts: Iterable[str]) -> list[Made]:
    """Return what the statements of these texts make, in order."""
    return [made for text in texts for statement in split(text) for made in _made(bare(statement))]


def _made(statement: str) -> list[Made]:
    found = MAKES.match(statement)
    if found is None:
        return []
    if found["part"]:
        command = re.search(r"\bfor (select|insert|update|delete|all)\b", statement)
        return [Made(found["part"], found["its"], found["table"], command[1] if command else "all")]
    keys = KEY.findall(statement) if found["kind"] == "table" else []
    return [
        Made(found["kind"], found["name"]),
        *(Made("index", key, found["name"]) for key in keys),
    ]
