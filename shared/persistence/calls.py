"""How each of the methods here calls its SQL function: arguments to JSON, answers to models."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from ..errors import SchemaBehindError, SchemaNotServedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..auth.caller import Caller
    from .roads import SqlFunctions

log = structlog.get_logger(__name__)

ATTEMPTS = 4

ModelT = TypeVar("ModelT", bound=BaseModel)


class Calls:
    """What the groups of methods share: the store, and one way to call it."""

    def __init__(self, store: SqlFunctions) -> None:
        self._store = store

    async def _call(
        self,
        model: type[ModelT],
        function: str,
        caller: Caller | None = None,
        *,
        attempts: int = 1,
        is_urgent: bool = False,
        is_heavy: bool = False,
        is_enough: Callable[[dict[str, Any]], bool] | None = None,
        **arguments: Any,
    ) -> ModelT:
        """Call a function once, and read its answer; a heavy one beside the event loop.

        With `is_enough` a replica may answer, where it says so of what that has.
        """
        plain = {name: _plain(value) for name, value in arguments.items()}
        try:
            answer = await self._store.call(
                function,
                plain,
                caller=caller,
                attempts=attempts,
                is_urgent=is_urgent,
                is_enough=is_enough,
            )
        except (SchemaBehindError, SchemaNotServedError) as exc:
            log.warning(exc.code, function=function)
            raise
        try:
            if is_heavy:
                return await asyncio.to_thread(model.model_validate, answer)
            return model.model_validate(answer)
        except ValidationError as exc:
            log.exception("store_answer_unexpected", function=function)
            raise StoreUnavailableError from exc

    async def _call_with_retries(
        self, model: type[ModelT], function: str, caller: Caller | None = None, **arguments: Any
    ) -> ModelT:
        """Call, again where it fails, what does the same twice: a read, or a write under a key."""
        return await self._call(model, function, caller, attempts=ATTEMPTS, **arguments)


def _plain(value: Any) -> Any:
    """Return the JSON form of a uuid or a moment; everything else is JSON already."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)
