"""The forwarders as files of a project, and the example of the service's settings beside them.

A file of ours begins with a line that has the hash of the rest, so that one that was changed since
is known, and left alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

SHARED = "_shared/message-persistence.ts"
IMPORT = "../_shared/forward.ts"

FIRST_LINE = re.compile(r"(?://|#) Written by message-persistence, ([0-9a-f]{16})\n")

SETTINGS = """\
# Settings of the message-persistence service: copy them to its .env, or give them to its host.
SUPABASE_URL=
SUPABASE_PUBLISHABLE_KEY=
SUPABASE_SECRET_KEY=
DATABASE_SCHEMA={schema}

# Behind the project's functions: a secret of 32 characters or more that both sides know.
#FORWARD_SECRETS=

# Of the functions themselves, by `supabase secrets set`: where the service is, and that secret.
#FORWARD_URL=
#FORWARD_SECRET=
"""

Whose = Literal["nobody's", "ours", "changed", "theirs"]


@dataclass(frozen=True)
class OwnFile:
    """A file that is wholly ours, as it is to be."""

    path: Path
    text: str
    has_its_folder: bool = False  # what else is in it is no one's but the file's owner's

    @property
    def stamped(self) -> bytes:
        """The file with its first line."""
        mark = "//" if self.path.suffix == ".ts" else "#"
        return f"{mark} Written by message-persistence, {_digest(self.text)}\n{self.text}".encode()

    @property
    def whose(self) -> Whose:
        """Say whose file is in its place now."""
        if not self.path.exists():
            is_taken = self.has_its_folder and any(self.path.parent.glob("*"))
            return "theirs" if is_taken else "nobody's"
        if not self.path.is_file():
            return "theirs"
        text = self.path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
        found = FIRST_LINE.match(text)
        if found is None:
            return "theirs"
        return "ours" if _digest(text[found.end() :]) == found[1] else "changed"


def forwarders_of(ours: Path, theirs: Path) -> dict[str, OwnFile]:
    """Return the project's forwarders by the names of their functions; what they share is ''.

    It has a name of its own beside what the project's own functions share.
    """
    shared = (ours / IMPORT.removeprefix("../")).read_text()
    files = {"": OwnFile(theirs / SHARED, shared)}
    for path in sorted(ours.glob("*/index.ts")):
        text = path.read_text().replace(IMPORT, f"../{SHARED}")
        name = path.parent.name
        files[name] = OwnFile(theirs / name / path.name, text, has_its_folder=True)
    return files


def settings_example(path: Path, schema: str) -> OwnFile:
    """Return the list of the service's settings, with the one that is known."""
    return OwnFile(path, SETTINGS.format(schema=schema))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
