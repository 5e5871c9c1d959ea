"""Discards what imports of processes that died have left staged, one a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ..errors import AppError

if TYPE_CHECKING:
    from ..persistence import Persistence

log = structlog.get_logger(__name__)


async def sweep_imports(persistence: Persistence) -> None:
    """Discard what is left behind; what can't be discarded keeps nothing else."""
    for left in (await persistence.list_imports_left_behind()).imports:
        try:
            await persistence.discard_import(left.user_id, left.import_id)
        except AppError:
            log.exception("import_not_discarded", import_id=str(left.import_id))
