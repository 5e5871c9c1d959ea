"""The erasure of a user: what erase-account takes and answers."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from .base import Envelope, PlainUuid, RequestBody
from .retention import RemovedRows


class EraseAccountRequest(RequestBody):
    """Whose conversations go for good. `confirm` says that it is meant."""

    EXAMPLE: ClassVar = {"confirm": "erase"}

    confirm: Literal["erase"] = Field(description="The word erase.")
    user_id: PlainUuid | None = None


class ErasureReceipt(BaseModel):
    """What erase_account answers: the receipt's row, and how many conversations remain."""

    id: UUID
    user_id: UUID
    requested_at: str
    erased_at: str | None
    conversations: int
    messages: int
    turns: int
    summaries: int
    import_parts: int
    held: int
    remaining: int


class ErasedRows(RemovedRows):
    """How much is gone. `summaries` are among the messages; `importParts` were being imported."""

    summaries: int
    import_parts: int


class EraseAccountResponse(Envelope):
    """The receipt.

    `held` conversations are kept by a legal hold. `erasedAt` is null while some `remaining` ones
    are still to go: ask again with the same key.
    """

    receipt_id: UUID
    user_id: UUID
    requested_at: str
    erased_at: str | None
    removed: ErasedRows
    held: int
    remaining: int
