"""What the doctor's SQL functions answer."""

from __future__ import annotations

from uuid import UUID

from pydantic import (
    BaseModel,
)


class InvariantCheck(BaseModel):
    """One thing that must hold: how often it doesn't, and up to five ids of where."""

    name: str
    broken: int
    examples: list[UUID]
    repairable: bool


class InvariantReport(BaseModel):
    """What check_invariants answers: every check, broken or not."""

    checks: list[InvariantCheck]


class Repair(BaseModel):
    """How much of one check's findings was mended."""

    name: str
    repaired: int


class RepairReport(BaseModel):
    """What repair_invariants answers: everything that it can mend, done or not."""

    repaired: list[Repair]
