"""Erases a user, a batch at a time, until nothing is left or the request has taken long enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ..models.erasure import EraseAccountResponse, ErasedRows

if TYPE_CHECKING:
    from uuid import UUID

    from ..auth.caller import Caller
    from ..models.erasure import ErasureReceipt
    from ..persistence import Persistence

log = structlog.get_logger(__name__)

SECONDS = 20.0  # gateways wait little longer for an answer


async def erase_account(
    persistence: Persistence, user_id: UUID, *, caller: Caller, idempotency_key: str
) -> EraseAccountResponse:
    """Delete a user's conversations with everything in them, and return the receipt.

    Raises LegalHoldError if a hold on the user keeps them all.
    """
    deadline = time.monotonic() + SECONDS
    while True:
        receipt = await persistence.erase_account(
            user_id,
            idempotency_key=idempotency_key,
            requested_by="service" if caller.is_service else "user",
        )
        log.info("account_erasing", receipt_id=str(receipt.id), remaining=receipt.remaining)
        if not receipt.remaining or time.monotonic() > deadline:
            return _answer(receipt)


def _answer(receipt: ErasureReceipt) -> EraseAccountResponse:
    return EraseAccountResponse(
        receipt_id=receipt.id,
        removed=ErasedRows(**receipt.model_dump(include=set(ErasedRows.model_fields))),
        **receipt.model_dump(include={"user_id", "requested_at", "erased_at", "held", "remaining"}),
    )
