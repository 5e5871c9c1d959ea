"""A turn that runs in this process: its draft so far, and how others wait for what comes next."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.models.turns import MegaMindRequest, TurnRecord
    from shared.turns.reply import Reply


class RunningTurn:
    """The state of one turn. Its worker writes it; any number of watchers read it.

    Offsets and lengths count characters (code points) of the draft. `persisted_after` is how many
    seconds the request waited for its message to be stored; None where an earlier one's was.
    """

    def __init__(
        self,
        begun: TurnRecord,
        request: MegaMindRequest,
        *,
        persisted_after: float | None = None,
        reply: Reply | None = None,
    ) -> None:
        self.begun = begun
        self.request = request
        self.persisted_after = persisted_after
        self.began_at = time.monotonic()
        self.status = "accepted"
        self.length = 0
        self.reply = reply  # set once the AI is done, before the reply is stored
        self.settled: asyncio.Future[TurnRecord] = asyncio.get_running_loop().create_future()
        self.stop = asyncio.Event()  # its owner asked for it
        self.lost = asyncio.Event()  # another worker has it, or it is settled
        self.written = 0  # how much of the draft the store has
        self._pieces: list[str] = []
        self._changed = asyncio.Event()

    @property
    def is_worked_on(self) -> bool:
        """Whether its worker goes on: it has neither ended nor lost the turn."""
        return not self.settled.done() and not self.lost.is_set()

    def adopt(self, begun: TurnRecord) -> None:
        """Go on as a later attempt, whose draft the store has emptied."""
        self.begun = begun
        self.written = 0
        self._notify()

    def show(self, status: str) -> None:
        """Let watchers know what the turn is doing."""
        self.status = status
        self._notify()

    def write(self, text: str) -> None:
        """Add to the draft."""
        self._pieces.append(text)
        self.length += len(text)
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

    def text_from(self, offset: int) -> str:
        """Return the draft from an offset on, reading only the pieces that reach past it."""
        start = self.length
        tail: list[str] = []
        for piece in reversed(self._pieces):
            if start <= offset:
                break
            start -= len(piece)
            tail.append(piece)
        text = "".join(reversed(tail))
        return text[max(offset - start, 0) :]

    @property
    def change(self) -> asyncio.Event:
        """The next change: set when it has happened."""
        return self._changed

    def _notify(self) -> None:
        happened, self._changed = self._changed, asyncio.Event()
        happened.set()
