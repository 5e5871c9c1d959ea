"""Our migrations as migrations of a project: which are there, and what is written for the others.

A file of ours begins with a line that says what it is, for which schema, and the hash of the rest.
What was written is never written again: the project may have applied it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .statements import bare, made_by, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .names import Names

HEADER = re.compile(
    r"-- message-persistence: (?:(?P<removed>removed (?:without|with) its data)|(?P<name>\w+))"
    r", schema (?P<schema>\w+), (?P<digest>[0-9a-f]{64})\n"
)
STAMP = "%Y%m%d%H%M%S"

MAIN_SCHEMA = """\
create schema {schema};

comment on schema {schema} is 'Conversations between users and an AI: message-persistence.';

grant usage on schema {schema} to authenticated, service_role;

"""

# A schema may be there already, with other things in it and a comment of its own.
GUARDED = """\
do $$
begin
    if to_regnamespace('{schema}') is null then
        {create}
        {comment}
    end if;
end;
$$;"""


@dataclass(frozen=True)
class Migration:
    """One of ours, as it is to be in a project."""

    name: str
    schema: str
    body: str

    @property
    def digest(self) -> str:
        """The hash of what it does."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    @property
    def text(self) -> str:
        """The whole file."""
        return (
            f"-- message-persistence: {self.name}, schema {self.schema}, {self.digest}\n{self.body}"
        )


@dataclass(frozen=True)
class Written:
    """A file of ours that is in the project."""

    path: Path
    name: str
    schema: str
    digest: str
    body: str

    @property
    def version(self) -> str:
        """What the migrations' history calls it."""
        return version_of(self.path)


@dataclass
class State:
    """What the project's folder says of us."""

    written: list[Written] = field(default_factory=list)
    left: list[Written] = field(default_factory=list)  # of which a removal has kept the data

    @property
    def schema(self) -> str | None:
        """The schema that it is installed in; None if it isn't."""
        return self.written[0].schema if self.written else None


def migrations_for(names: Names, folder: Path) -> list[Migration]:
    """Return our migrations, under these names, in order."""
    files = sorted(folder.glob("*.sql"))
    bodies = names.rename(file.read_text() for file in files)
    if not names.is_default:
        bodies[0] = MAIN_SCHEMA.format(schema=names.schema) + bodies[0]
    return [
        Migration(file.stem.partition("_")[2], names.schema, _name_routines(_guard_schemas(body)))
        for file, body in zip(files, bodies, strict=True)
    ]


def _guard_schemas(body: str) -> str:
    """Let each schema be made, and commented on, only where there is none of its name."""
    statements = split(body)
    for statement in statements:
        create = bare(statement)
        if not (made := re.match(r"create schema (\w+);", create)):
            continue
        of_it = f"comment on schema {made[1]} "
        comment = next(text for text in statements if bare(text).startswith(of_it))
        guarded = GUARDED.format(schema=made[1], create=create, comment=bare(comment))
        body = body.replace(comment, "").replace(create, guarded)
    return body


def _name_routines(body: str) -> str:
    """Withhold what we make and nothing else: a schema may have others' functions."""
    made = [thing for thing in made_by([body]) if thing.kind in {"function", "procedure"}]
    for schema in re.findall(r"\bon all routines in schema (\w+) from public;", body):
        ours = ", ".join(thing.name for thing in made if thing.schema == schema)
        body = body.replace(f"on all routines in schema {schema} from", f"on routine {ours} from")
    return body


def read_state(folder: Path) -> State:
    """Read what earlier runs have written, in the order in which it is applied."""
    state = State()
    for path in sorted(folder.glob("*.sql")):
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            found = HEADER.match(file.readline().replace("\r\n", "\n"))
            body = file.read().replace("\r\n", "\n") if found else ""
        if not found:
            continue
        if found["removed"]:
            keeps = found["removed"].startswith("removed without")
            state = State(left=state.written or state.left if keeps else [])
            continue
        written = Written(path, found["name"], found["schema"], found["digest"], body)
        state = State([*state.written, written])
    return state


def version_of(path: Path) -> str:
    """Return the version in a migration's file name."""
    return path.name.partition("_")[0]


def versions_after(taken: Iterable[str], count: int, now: datetime | None = None) -> list[str]:
    """Return new versions: now, but behind all that are taken, by the order of their text."""
    newest = max(taken, default="")
    moment = now or datetime.now(UTC)
    versions: list[str] = []
    while len(versions) < count:
        version = moment.strftime(STAMP)
        if version <= newest:
            version = _next(newest)
        newest = version
        versions.append(version)
        moment += timedelta(seconds=1)
    return versions


def _next(version: str) -> str:
    """Return the version that follows: a second later, or one more if it is no time."""
    try:
        return (datetime.strptime(version, STAMP) + timedelta(seconds=1)).strftime(STAMP)
    except ValueError:
        return str(int(version) + 1).zfill(len(version))


def file_names(migrations: Sequence[Migration], taken: Iterable[str]) -> list[str]:
    """Return the names of new files, one a migration."""
    versions = versions_after(taken, len(migrations))
    return [
        f"{version}_message_persistence_{migration.name}.sql"
        for version, migration in zip(versions, migrations, strict=True)
    ]
