"""How each of the methods here calls its SQL function: arguments to JSON, answers to models.

A method that is `once` or `repeated` is the SQL function of its name: it takes what that takes, by
the same names, and has no body of its own.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from ..errors import SchemaBehindError, SchemaNotServedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..auth.caller import Caller
    from .roads import SqlFunctions

log = structlog.get_logger(__name__)

ATTEMPTS = 4

ModelT = TypeVar("ModelT", bound=BaseModel)
P = ParamSpec("P")


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


def once(
    model: type[ModelT], **options: Any
) -> Callable[[Callable[P, Coroutine[Any, Any, ModelT]]], Callable[P, Coroutine[Any, Any, ModelT]]]:
    """Make a method the SQL function of its name, called once; `options` are those of `_call`.

    A `request` that it takes stands for its fields.
    """

    def declared(method: Callable[P, Coroutine[Any, Any, ModelT]]) -> Any:
        function, code = method.__name__, method.__code__
        names = code.co_varnames[1 : code.co_argcount]
        defaults = {**options, **(method.__kwdefaults__ or {})}

        @wraps(method)
        def call(calls: Calls, *arguments: Any, **named: Any) -> Coroutine[Any, Any, ModelT]:
            named.update(zip(names, arguments, strict=False))
            if "request" in named:
                named = {**dict(named.pop("request")), **named}
            return calls._call(model, function, **(defaults | named))  # noqa: SLF001 - its own

        return call

    return declared


# For what does the same twice: a read, or a write under a key.
repeated = partial(once, attempts=ATTEMPTS)


def _plain(value: Any) -> Any:
    """Return the JSON form of a uuid or a moment; everything else is JSON already."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)
