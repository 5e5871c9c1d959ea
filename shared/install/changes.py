"""What a run will do to a project: what was found, what follows from it, and which files change."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Level = Literal["ok", "note", "stop"]

MARKS: dict[Level, str] = {"ok": " ", "note": "!", "stop": "X"}
WIDTH = 76


@dataclass(frozen=True)
class Finding:
    """One row of the table: a thing of the project, how it is, and what follows."""

    subject: str
    found: str
    then: str = ""
    level: Level = "ok"


@dataclass(frozen=True)
class Change:
    """A file as it will be; None if there is none."""

    path: Path
    before: bytes | None
    after: bytes | None

    @property
    def verb(self) -> str:
        """Say what happens to the file."""
        if self.before is None:
            return "write"
        return "remove" if self.after is None else "change"

    def apply(self) -> None:
        """Write the file, or remove it; folders come and go with what is in them."""
        if self.after is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(self.after)
            return
        self.path.unlink(missing_ok=True)
        if not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


@dataclass
class Plan:
    """All of it. Where anything stands in the way, nothing is written."""

    findings: list[Finding] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)  # that are left to whoever runs it

    @property
    def is_stopped(self) -> bool:
        """Whether something stands in the way."""
        return any(finding.level == "stop" for finding in self.findings)

    def find(self, subject: str, found: str, then: str = "", level: Level = "ok") -> None:
        """Add a row."""
        self.findings.append(Finding(subject, found, then, level))

    def change(self, path: Path, after: bytes | None) -> None:
        """Add a file as it is to be, unless it is so."""
        before = path.read_bytes() if path.exists() else None
        self.changes = [change for change in self.changes if change.path != path]
        if before != after:
            self.changes.append(Change(path, before, after))

    def edit(self, path: Path, edit: Callable[[str], str]) -> None:
        """Change a text file that is there, which keeps its own ends of line."""
        planned = next((change.after for change in self.changes if change.path == path), None)
        text = (planned or path.read_bytes()).decode()
        changed = edit(text.replace("\r\n", "\n"))
        self.change(path, changed.replace("\n", "\r\n" if "\r\n" in text else "\n").encode())

    def table(self) -> str:
        """Return the findings as aligned lines; ! is worth reading, X stands in the way."""
        width = max((len(finding.subject) for finding in self.findings), default=0)
        return "\n".join(_row(finding, width) for finding in self.findings)


def _row(finding: Finding, width: int) -> str:
    text = finding.found + (f": {finding.then}" if finding.then else "")
    first, *others = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    indent = " " * (width + 4)
    head = f"{MARKS[finding.level]} {finding.subject:{width}}  {first}"
    return "\n".join([head, *(f"{indent}{line}" for line in others)])
