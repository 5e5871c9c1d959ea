"""What the doctor's SQL functions answer."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel


class InvariantCheck(BaseModel):
    """One thing that must hold: how often it doesn't, and up to five ids of where."""

    name: str
    broken: int
    examples: list[UUID]
    repairable: bool


class InvariantReport(BaseModel):
    """What check_invariants answers: every check, broken or not, and whose rows are broken."""

    checks: list[InvariantCheck]
    users: list[UUID]


class RepairReport(BaseModel):
    """What repair_invariants answers: how much of each check's findings was mended."""

    repaired: dict[str, int]
