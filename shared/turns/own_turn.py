"""A turn whose reply is written by whoever began it, in the body of an `async with`.

The body is the engine of its turn. So leases, drafts, live events, fencing and the stored reply are
the worker's, as in every turn; here is only the way from the one to the other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from ..ai import within_limits
from ..ai.agents import OUTPUTS, AgentEngine, ReplyMetadata, own_part, require_room
from ..ai.results import engine_error
from ..errors import AppError
from .response import turn_in_progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from uuid import UUID

    from ..ai.agents import AgentOutput
    from ..ai.protocol import EngineRequest, HistoryMessage
    from ..config import Settings
    from ..models.rows import MessageRow
    from ..models.turns import TurnRecord
    from .request import TurnRequest
    from .runner import TurnRunner
    from .running_turn import RunningTurn


FROM_A_THREAD = "From a thread, use asyncio.run_coroutine_threadsafe with the loop it belongs to."


class OwnTurn:
    """A turn to be written, as `async with` gives it.

    If its key led to a stored reply, or to a turn that another call is writing, then `replayed` is
    true, `reply` is there, and nothing can be written. Otherwise the body writes, and the block
    ends when the reply is stored: failed, if the body raised or wrote nothing. If the turn ends
    before the body does (its owner stopped it, another process took it over, or it was cut at a
    limit), the body is cancelled as by `asyncio.timeout`, and the block ends quietly with what is
    stored.
    """

    def __init__(
        self, runner: TurnRunner, request: TurnRequest, *, name: str, settings: Settings
    ) -> None:
        self.replayed = False
        self._reply: MessageRow | None = None
        self._runner = runner
        self._request = request
        self._name = name
        self._settings = settings
        self._record: TurnRecord | None = None
        self._writing: _Writing | None = None

    @property
    def id(self) -> UUID:
        """The turn's id."""
        return self._stored.turn.id

    @property
    def conversation_id(self) -> UUID:
        """The conversation's id, new where none was named."""
        return self._stored.conversation.id

    @property
    def user_message(self) -> MessageRow:
        """The stored request."""
        return self._stored.user_message

    @property
    def reply(self) -> MessageRow:
        """The stored reply: there once the block has ended, or from its start for a replay."""
        if self._reply is None:
            raise RuntimeError("This turn has no stored reply yet.")
        return self._reply

    @property
    def asked(self) -> EngineRequest:
        """What an agent is given: the request's text, the history, by whom and where."""
        return self._own.body.asked.result()

    @property
    def history(self) -> Sequence[HistoryMessage]:
        """What was said before the request, within the budget of the context."""
        return self.asked.history

    async def write(self, text: str) -> None:
        """Add to the reply's text."""
        await self.add(text)

    async def add(self, output: AgentOutput) -> None:
        """Add what an agent may yield: text, a part, usage, a file, analysis, metadata, an error.

        Raises TypeError for anything else, ValueError for what no reply can hold, RuntimeError
        outside of the block and of its event loop.
        """
        writing = self._own
        if not isinstance(output, OUTPUTS):
            raise TypeError(f"a reply can't hold a {type(output).__name__}")
        if isinstance(output, dict):
            output = own_part(output)
        if isinstance(output, ReplyMetadata):
            require_room({**self.asked.metadata, **output.values})
        writing.body.put(output)
        await asyncio.sleep(0)  # others have their turn, the worker first
        if writing.body.is_left:
            raise asyncio.CancelledError

    async def __aenter__(self) -> Self:
        if self._record is not None:
            raise RuntimeError("This turn has begun already: a block is entered once.")
        body = _Body()
        engine = within_limits(AgentEngine(body.agent, name=self._name), self._settings)
        try:
            begun = await self._runner.begin(replace(self._request, engine=engine))
            self._record, running = begun
            if running is not None and running.engine is engine and await body.is_asked(running):
                self._writing = _Writing(body, running)
                return self
            record = begun.record if running is None else await self._runner.settled(running)
        except BaseException:
            body.end(engine_error("interrupted"))  # whoever begins to read it finds its end
            raise
        self.replayed = True
        self._keep(record)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self.replayed:
            return False
        writing = self._own
        writing.body.end(*_last_of(exc))
        exc = await writing.without_its_cancellation(exc)
        if exc is None:
            self._keep(await self._runner.settled(writing.running))
            return True
        if isinstance(exc, Exception):  # what cancels the body doesn't wait
            with suppress(AppError):
                self._keep(await self._runner.settled(writing.running))
        return False

    def _keep(self, record: TurnRecord) -> None:
        self._record = record
        if record.reply is None:
            raise turn_in_progress(record)
        self._reply = record.reply

    @property
    def _stored(self) -> TurnRecord:
        if self._record is None:
            raise RuntimeError("This turn has not begun: use it in `async with`.")
        return self._record

    @property
    def _own(self) -> _Writing:
        if self._writing is None:
            raise RuntimeError("This turn has its reply already: see `replayed` and `reply`.")
        return self._writing


class _Body:
    """The agent of one turn: gives on what the body puts in, until that has ended."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[EngineRequest] = asyncio.get_running_loop().create_future()
        self.is_left = False  # nobody takes anything more
        self.on_left: Callable[[], object] = lambda: None  # where that is so before its end
        self._has_ended = False
        self._outputs: asyncio.Queue[AgentOutput | None] = asyncio.Queue()

    async def agent(self, asked: EngineRequest) -> AsyncIterator[AgentOutput]:
        """Yield what is put in."""
        if not self.asked.done():
            self.asked.set_result(asked)
        try:
            while (output := await self._outputs.get()) is not None:
                yield output
        finally:
            if not self._has_ended:
                self.is_left = True
                self.on_left()

    async def is_asked(self, running: RunningTurn) -> bool:
        """Wait until the body is to write; say no where the turn has ended without it."""
        either: set[asyncio.Future[Any]] = {self.asked, running.settled}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return self.asked.done()

    def put(self, output: AgentOutput) -> None:
        """Give on the next piece."""
        if self._has_ended:
            raise RuntimeError("The block of this turn has ended.")
        if asyncio.get_running_loop() is not self.asked.get_loop():
            raise RuntimeError(f"This turn was begun in another event loop. {FROM_A_THREAD}")
        self._outputs.put_nowait(output)

    def end(self, *last: AgentOutput) -> None:
        """Give on what is last."""
        self._has_ended = True
        for output in (*last, None):
            self._outputs.put_nowait(output)


class _Writing:
    """The task that runs the body, which is cancelled where the turn ends before it."""

    def __init__(self, body: _Body, running: RunningTurn) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A turn is written in a task.")
        self.body = body
        self.running = running
        self._task = task
        self._cancelled_by_others = task.cancelling()
        self._is_cancelled = False
        body.on_left = self._cancel
        if body.is_left:
            self._cancel()

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._task.cancel()

    async def without_its_cancellation(self, exc: BaseException | None) -> BaseException | None:
        """Return what ended the body: None if that was only the turn's own end."""
        if not self._is_cancelled:
            return exc
        is_cancelled = isinstance(exc, asyncio.CancelledError)
        if not is_cancelled:  # it had ended when the cancellation was on its way
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if self._task.uncancel() > self._cancelled_by_others:
            raise asyncio.CancelledError
        return None if is_cancelled else exc


def _last_of(exc: BaseException | None) -> tuple[AgentOutput, ...]:
    """Return what a reply says that ended like this."""
    if exc is None:
        return ()
    return (engine_error("provider_error" if isinstance(exc, Exception) else "interrupted"),)
