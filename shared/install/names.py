"""What the schema is called in a project: `public`, `private` and `search` by names of its own.

Everything in the SQL is qualified, since its search_path is empty: in bodies, strings and comments
too. So a name is replaced wherever a dot and a name follow it, or the word `schema` comes before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = "public"
LONGEST = 30  # what is made of it has to fit the 63 letters of a name in Postgres

NAME = re.compile(r"[a-z_][a-z0-9_]*")

# Supabase's and Postgres's own.
TAKEN = {
    *("auth", "cron", "extensions", "graphql", "graphql_public", "information_schema", "net"),
    *("pgbouncer", "pgmq", "pgsodium", "realtime", "storage", "vault"),
}
TAKEN_PREFIXES = ("pg_", "supabase_")

# Words that Postgres takes for a name in quotes alone.
RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check
    collate collation column concurrently constraint create cross current_catalog current_date
    current_role current_schema current_time current_timestamp current_user default deferrable desc
    distinct do else end except false fetch for foreign freeze from full grant group having ilike
    in initially inner intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window
    with
    """.split()  # noqa: SIM905 - a list literal of it is a page long
)

QUALIFIER = re.compile(r"(?<![\w.$\"])(?:public|private|search)(?=\.[a-z_])")
SCHEMAS = re.compile(r"(?<=\bschema )\w+(?:, \w+)*")
# What has one name in a whole project, whatever schema it is about.
POLICY = re.compile(r"create policy (\w+)\s+on realtime\.messages")
JOB = re.compile(r"'([\w-]+)',\s*'[^']*',\s*'call \w+\.")


class WrongNameError(ValueError):
    """A schema can't have this name; the message says why."""


@dataclass(frozen=True)
class Names:
    """The names of one project, by the schema that was chosen. Raises WrongNameError."""

    schema: str = DEFAULT

    def __post_init__(self) -> None:
        """Refuse what would have to be quoted, or is somebody else's."""
        if len(self.schema) > LONGEST or not NAME.fullmatch(self.schema):
            raise WrongNameError(
                f"{self.schema!r} has to be a letter and up to {LONGEST - 1} more, digits or _, in"
                " lower case"
            )
        if self.schema in RESERVED:
            raise WrongNameError(f"{self.schema!r} is a word of SQL")
        if self.schema in TAKEN or self.schema.startswith(TAKEN_PREFIXES):
            raise WrongNameError(f"{self.schema!r} is Supabase's or Postgres's own")

    @property
    def is_default(self) -> bool:
        """Whether everything is called what the schema files call it."""
        return self.schema == DEFAULT

    @property
    def schemas(self) -> dict[str, str]:
        """What each of the three schemas is called."""
        if self.is_default:
            return {name: name for name in ("public", "private", "search")}
        return {
            "public": self.schema,
            "private": f"{self.schema}_private",
            "search": f"{self.schema}_search",
        }

    def rename(self, texts: Iterable[str]) -> list[str]:
        """Return the texts of one schema under these names.

        Together, since what is scheduled in one file may be named in another.
        """
        texts = list(texts)
        if self.is_default:
            return texts
        shared = {
            name: f"{self.schema}{mark}{name}"
            for pattern, mark in ((POLICY, "_"), (JOB, "-"))
            for text in texts
            for name in pattern.findall(text)
        }
        return [self._rename(text, shared) for text in texts]

    def _rename(self, text: str, shared: dict[str, str]) -> str:
        schemas = self.schemas
        text = QUALIFIER.sub(lambda found: schemas[found[0]], text)
        text = SCHEMAS.sub(
            lambda found: ", ".join(schemas.get(name, name) for name in found[0].split(", ")), text
        )
        for name, ours in shared.items():
            text = re.sub(rf"\b{name}\b(?!\()", ours, text)
        return text
