"""What the doctor's SQL functions answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel


class BrokenRow(BaseModel):
    """What one check found: the id of a conversation or of another row, and whose it is."""

    name: str
    user_id: UUID
    id: UUID


class InvariantStep(BaseModel):
    """What check_invariants answers: what of these rows is broken, and where the next step begins.

    `checks` are the names of all checks.
    """

    checks: list[str]
    broken: list[BrokenRow]
    rows: int
    next: dict[str, Any] | None


class RepairReport(BaseModel):
    """What repair_invariants answers: how much of each check's findings was mended."""

    repaired: dict[str, int]


class MissingPart(BaseModel):
    """Something that the platform refused or didn't have, and the SQL that mends it."""

    name: str
    remedy: str


class PlatformReport(BaseModel):
    """What check_platform answers."""

    missing: list[MissingPart]
