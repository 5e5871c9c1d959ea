"""Runs the AI and stores nothing of it; what is stored already may still be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ..errors import AppError, UnauthorizedError
from .context import Context, given_context
from .engine_run import EngineRun
from .response import unstored_response

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Engine
    from ..auth.caller import Caller
    from ..config import Settings
    from ..models.turns import CountedTurn, MegaMindRequest, MegaMindResponse
    from ..persistence import Persistence
    from .registry import TurnRegistry

log = structlog.get_logger(__name__)


class UnstoredRuns:
    """Runs that take up room, and count towards their user's limits, as turns do."""

    def __init__(
        self, store: Persistence, engine: Engine, registry: TurnRegistry, settings: Settings
    ) -> None:
        self._store = store
        self._engine = engine
        self._registry = registry
        self._settings = settings

    async def run(
        self, request: MegaMindRequest, *, user_id: UUID | None, caller: Caller | None
    ) -> MegaMindResponse:
        """Run the AI once; a conversation that is named is read first.

        Raises UnavailableError where as many turns run here as may, TooManyRequestsError where as
        many of the user's do, TooManyTurnsError and TooManyTokensError, UnauthorizedError if the
        account is gone, and StoreUnavailableError if it can't be counted.
        """
        async with self._registry.admit(user_id):
            context = await self._context(request.conversation_id, user_id, caller)
            counted = await self._count(user_id)
            run = EngineRun(self._engine, request, context, user_id=user_id)
            tokens = run.given_tokens
            try:
                reply = run.reply(await run.result())
                tokens = reply.tokens
            finally:
                await self._add_tokens(user_id, counted, tokens)
            return unstored_response(reply, request.conversation_id)

    async def _count(self, user_id: UUID | None) -> CountedTurn | None:
        """Count a run towards its user's limits, also if there are none: a deleted user's
        token is good for a while, and only the store knows that the account is gone.
        """
        if user_id is None:
            return None
        return await self._store.count_unstored_turn(
            user_id=user_id,
            turns_per_minute=self._settings.turns_per_minute,
            turns_per_day=self._settings.turns_per_day,
            tokens_per_day=self._settings.tokens_per_day,
        )

    async def _add_tokens(
        self, user_id: UUID | None, counted: CountedTurn | None, tokens: int
    ) -> None:
        """Count what a run took, also of one that failed or was left; that costs nobody a reply."""
        if user_id is None or counted is None or self._settings.tokens_per_day is None:
            return
        try:
            await self._store.add_tokens(user_id, counted.id, tokens=tokens)
        except AppError as exc:
            log.warning("tokens_not_counted", error=exc.code)

    async def _context(
        self, conversation_id: UUID | None, user_id: UUID | None, caller: Caller | None
    ) -> Context:
        if conversation_id is None:
            return given_context([], None)
        if user_id is None or caller is None:
            raise UnauthorizedError
        stored = await self._store.load_history(
            user_id,
            conversation_id,
            history_tokens=self._settings.history_tokens,
            caller=caller,
        )
        return given_context(stored.history, stored.context)
