"""Keeps long conversations summarised: after a reply, in the background, never on the way to one.

Nothing depends on it. A summary that fails, or is lost with its process, is made after a later
reply; until then the AI learns how many older messages it isn't shown. One reply makes one call of
the summariser due, with half of the budget at most: a long conversation that was imported is summed
up over as many replies as it needs. What a call takes counts towards the turn of that reply.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from ..ai.protocol import HistoryMessage
from ..ai.tokens import cut_to_tokens, estimate_tokens
from ..encoding.ids import new_id
from ..encoding.sizes import MAX_TEXT_BYTES, cut_to_size
from ..encoding.storable import escape_unstorable
from ..errors import AppError
from .context import fitted

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Summariser, SummaryText
    from ..config import Settings
    from ..models.context import Unsummarised
    from ..models.rows import TurnRow
    from ..models.turns import TurnRecord
    from ..persistence import Persistence

log = structlog.get_logger(__name__)

COOLDOWN_SECONDS: Final = 600.0
MAX_AT_ONCE: Final = 4  # conversations that one process summarises at a time
MAX_REMEMBERED: Final = 1_000
STOP_SECONDS: Final = 2.0

ValueT = TypeVar("ValueT")


class EmptySummaryError(Exception):
    """The summariser returned a blank text."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary that is still to be stored. The id makes storing it twice harmless."""

    id: UUID
    content: str
    covers_to: int
    metadata: dict[str, Any]


class Summaries:
    """Summarises a conversation when half of the budget has come since its last summary."""

    def __init__(self, store: Persistence, summariser: Summariser, settings: Settings) -> None:
        self._store = store
        self._summariser = summariser
        self._history_tokens = settings.history_tokens
        self._summary_tokens = min(settings.summary_tokens, settings.history_tokens // 4)
        self._time_limit = settings.engine_timeout
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._unwritten: dict[UUID, Summary] = {}  # made while the next turn was running already
        self._resting: dict[UUID, float] = {}  # until when a conversation isn't tried again

    def after_reply(self, record: TurnRecord, reply: str) -> None:
        """Start a summary where one is due, and return at once."""
        conversation_id = record.conversation.id
        if (
            not self._is_due(record, reply)
            or conversation_id in self._tasks
            or len(self._tasks) >= MAX_AT_ONCE
            or _now() < self._resting.get(conversation_id, 0)
        ):
            return
        task = asyncio.create_task(self._keep(record.turn, conversation_id))
        self._tasks[conversation_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(conversation_id, None))

    async def drain(self, seconds: float) -> None:
        """Let what is under way end; what takes longer is made again after a later reply."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)

    def _is_due(self, record: TurnRecord, reply: str) -> bool:
        if record.context is None or not self._summary_tokens:
            return False
        since = record.context.since_tokens
        since += estimate_tokens(record.user_message.content) + estimate_tokens(reply)
        return since > self._history_tokens // 2 or record.conversation.id in self._unwritten

    async def _keep(self, turn: TurnRow, conversation_id: UUID) -> None:
        try:
            summary = self._unwritten.pop(conversation_id, None)
            summary = summary or await self._summarise(turn, conversation_id)
            if summary is not None:
                await self._write(turn.user_id, conversation_id, summary)
        except Exception as exc:  # noqa: BLE001 - nobody waits for it
            self._rest(conversation_id, exc)

    async def _summarise(self, turn: TurnRow, conversation_id: UUID) -> Summary | None:
        """Return a summary of the oldest that none covers, upon the one before."""
        page = await self._store.load_unsummarised(
            turn.user_id, conversation_id, history_tokens=self._history_tokens
        )
        if page.covers_to is None:
            return None
        made = await self._ask(turn, page)
        if not made.text.strip():
            raise EmptySummaryError
        return self._summary_of(made, page.covers_to)

    async def _ask(self, turn: TurnRow, page: Unsummarised) -> SummaryText:
        """Ask the summariser once, and count what that took, also if it failed."""
        messages = [
            fitted(HistoryMessage.model_validate(row), page.longest) for row in page.messages
        ]
        given = [page.previous or "", *(message.content for message in messages)]
        tokens = sum(map(estimate_tokens, given))
        try:
            async with asyncio.timeout(self._time_limit):
                made = await self._summariser.summarise(
                    messages, previous=page.previous, tokens=self._summary_tokens
                )
            reported = made.usage.tokens if made.usage else 0
            tokens = reported or tokens + estimate_tokens(made.text)
        finally:
            await self._count(turn, tokens)
        return made

    async def _count(self, turn: TurnRow, tokens: int) -> None:
        try:
            await self._store.add_tokens(turn.user_id, turn.id, tokens=tokens)
        except AppError as exc:
            log.warning("tokens_not_counted", turn_id=str(turn.id), error=exc.code)

    def _summary_of(self, made: SummaryText, covers_to: int) -> Summary:
        storable, is_escaped = escape_unstorable(made.text.strip())
        content = cut_to_tokens(storable, self._summary_tokens, mark="...")
        content = cut_to_size(content, MAX_TEXT_BYTES)
        metadata: dict[str, Any] = {
            "engine": self._summariser.name,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        optional = {
            "usage": made.usage and made.usage.model_dump(),
            "escaped": is_escaped,
            "truncated": content != storable,
        }
        metadata |= {name: value for name, value in optional.items() if value}
        return Summary(new_id(), content, covers_to, metadata)

    async def _write(self, user_id: UUID, conversation_id: UUID, summary: Summary) -> None:
        written = await self._store.write_summary(
            user_id,
            conversation_id,
            message_id=summary.id,
            covers_to=summary.covers_to,
            content=summary.content,
            metadata=summary.metadata,
        )
        if written.outcome == "busy":
            _remember(self._unwritten, conversation_id, summary)
        log.info(
            "summary_made",
            conversation_id=str(conversation_id),
            covers_to=summary.covers_to,
            outcome=written.outcome,
        )

    def _rest(self, conversation_id: UUID, exc: Exception) -> None:
        """Leave a conversation alone for a while."""
        _remember(self._resting, conversation_id, _now() + COOLDOWN_SECONDS)
        log.warning(
            "summary_failed",
            conversation_id=str(conversation_id),
            engine=self._summariser.name,
            error=type(exc).__name__,  # a provider's words may hold a key or the user's text
        )


def _remember(memory: dict[UUID, ValueT], conversation_id: UUID, value: ValueT) -> None:
    """Keep a value; the oldest is forgotten where there are too many."""
    memory.pop(conversation_id, None)
    memory[conversation_id] = value
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]


def _now() -> float:
    return asyncio.get_running_loop().time()
