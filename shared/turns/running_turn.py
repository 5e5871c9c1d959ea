"""A turn that runs in this process: one worker writes it, any number of readers follow it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ..ai.tokens import BYTES_PER_TOKEN
from .draft import Draft, in_order

if TYPE_CHECKING:
    from uuid import UUID

    from ..ai.protocol import Engine
    from ..encoding.parts import Part
    from ..models.turns import MegaMindRequest, TurnRecord
    from .draft import Change
    from .reply import Reply

Status: TypeAlias = Literal["thinking", "generating", "saving"]


class Position(NamedTuple):
    """How far a turn was read: so many of its statuses, so many characters of its text.

    And its parts as of which version.
    """

    statuses: int = 0
    offset: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What the turn does from this offset of its text on."""

    offset: int
    status: Status


class Word:
    """Something that a worker is to know once, whatever it waits for."""

    def __init__(self, reached: asyncio.Future[None]) -> None:
        self._reached = reached
        self._is_set = False

    def set(self) -> None:
        """Say it."""
        self._is_set = True
        if not self._reached.done():
            self._reached.set_result(None)

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._is_set


class RunningTurn:
    """The state of one turn, and the account of how it came about.

    Offsets and lengths count characters (code points). `persisted_after` is how many seconds the
    request waited for its message to be stored; None if an earlier one's was. `engine` answers
    this one turn in the place of the process's own.
    """

    def __init__(
        self,
        record: TurnRecord,
        request: MegaMindRequest,
        *,
        persisted_after: float | None = None,
        reply: Reply | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.record = record  # as the attempt that runs was begun
        self.request = request
        self.persisted_after = persisted_after
        self.engine = engine
        self.began_at = time.monotonic()
        self.is_streamed = False  # whoever asked for it reads it as a stream
        self.draft = Draft()
        self.earlier_tokens = record.turn.tokens  # of attempts before, elsewhere
        self.given_tokens = 0  # of what the AI was given in this one
        self.reply = reply  # set once the AI is done, before the reply is stored
        self.settled: asyncio.Future[TurnRecord] = asyncio.get_running_loop().create_future()
        self.called_off: asyncio.Future[None] = (
            self.settled.get_loop().create_future()
        )  # by either:
        self.stop = Word(self.called_off)  # its owner asked for it
        self.lost = Word(self.called_off)  # another worker has it, or it is settled
        self._statuses: list[StatusChange] = []
        self._changed = asyncio.Event()

    @property
    def id(self) -> UUID:
        """The turn's id."""
        return self.record.turn.id

    @property
    def user_id(self) -> UUID:
        """Whose turn it is."""
        return self.record.turn.user_id

    @property
    def attempt(self) -> int:
        """Which attempt runs here: another process may hold a later one."""
        return self.record.turn.attempt

    @property
    def tokens(self) -> int:
        """What every attempt took so far, this one by estimate until there is a reply."""
        if self.reply is not None:
            return self.earlier_tokens + self.reply.tokens
        return self.earlier_tokens + self.given_tokens + self.draft.size // BYTES_PER_TOKEN

    @property
    def is_worked_on(self) -> bool:
        """Whether its worker goes on: it has neither ended nor lost the turn."""
        return not self.settled.done() and not self.lost.is_set()

    @property
    def length(self) -> int:
        """How many characters of text there are."""
        return self.draft.length

    def adopt(self, record: TurnRecord) -> None:
        """Go on as a later attempt, whose draft the store has emptied."""
        self.record = record

    def show(self, status: Status) -> None:
        """Say what the turn does from here on."""
        self._statuses.append(StatusChange(self.draft.length, status))
        self._notify()

    def write(self, text: str) -> None:
        """Add to the text."""
        self.draft.write(text)
        self._notify()

    def reason(self, text: str) -> None:
        """Add to the reasoning."""
        self.draft.reason(text)
        self._notify()

    def add(self, part: Part) -> None:
        """Add a part, or a later state of one."""
        self.draft.add(part)
        self._notify()

    def finish(self, reply: Reply) -> None:
        """Keep the whole reply, which is still to be stored."""
        self.reply = reply
        self.show("saving")

    def settle(self, record: TurnRecord) -> None:
        """End the turn with what is stored of it."""
        if not self.settled.done():
            self.settled.set_result(record)
        self._notify()

    def fail(self, exc: BaseException) -> None:
        """End the turn for this process; what is stored of it stays as it is."""
        if not self.settled.done():
            self.settled.set_exception(exc)
            self.settled.exception()  # seen: nobody may be waiting for it
        self._notify()

    def position_at(self, offset: int) -> Position:
        """Return the position of a reader who has the text to an offset, and nothing else yet.

        Of the statuses before it the last is news.
        """
        before = sum(change.offset < offset for change in self._statuses)
        return Position(max(before - 1, 0), offset)

    @property
    def end(self) -> Position:
        """The position of a reader who has everything."""
        return Position(len(self._statuses), self.draft.length, self.draft.version)

    def changes_since(self, position: Position) -> list[StatusChange | Change]:
        """Return what came after a position, in order; it leads to `end`."""
        statuses = [(change.offset, change) for change in self._statuses[position.statuses :]]
        marks = [*statuses, *self.draft.marks_since(position.version)]
        marks.sort(key=lambda mark: mark[0])
        text = self.draft.text_from(position.offset)
        return list(in_order(marks, offset=position.offset, text=text))

    @property
    def change(self) -> asyncio.Event:
        """The next change: set when it has happened."""
        return self._changed

    def _notify(self) -> None:
        happened, self._changed = self._changed, asyncio.Event()
        happened.set()
