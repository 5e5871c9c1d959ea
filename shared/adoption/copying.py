"""Stores what was planned: a transaction a step, a step one user's conversations, each whole.

What was committed is in the new tables: however a run was ended, the next one goes on from there. A
row that the database refuses is left out with its reason; the others of its step are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from .plan import LEDGER, STEP_ROWS
from .rows import stored_metadata
from .tables import LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from .tables import Chats

TRIES: Final = 5
BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# Data, constraints, limits of a row, and what triggers raise: about a row, and no other.
REFUSALS: Final = ("22", "23", "54", "P0", "PT")

_LEDGER = """
create table if not exists {} (
    conversation_id uuid primary key,
    adopted_at timestamptz not null default now()
)
"""

# Nobody is sent an event of what is old.
_IMPORTING = "select set_config('message_persistence.is_importing', 'yes', true)"

_CONVERSATIONS = """
with noted as (
    insert into {ledger} (conversation_id) select unnest(%(ids)s) on conflict do nothing
)
insert into {conversations}
    (id, user_id, project_id, title, metadata, created_at, updated_at, archived_at)
select p.id, p.user_id, o.project_id, o.title, {metadata}, times.created_at,
       coalesce(o.updated_at, times.created_at), o.archived_at
from plan_conversations as p
join old_conversations as o on o.source_id = p.source_id
cross join lateral (
    select coalesce(o.created_at, (
        select min(m.created_at) from plan_messages as m where m.conversation_id = p.id
    ), o.updated_at, now()) as created_at
) as times
where p.step = %(step)s and p.id = any (%(ids)s)
  and not exists (select from {conversations} as n where n.id = p.id)
"""

_LOCK = """
select n.id from {conversations} as n
join plan_conversations as p on p.user_id = n.user_id and p.id = n.id
where p.step = %(step)s and p.id = any (%(ids)s)
order by n.id
for no key update of n
"""

# A time that doesn't grow is the one before it and a microsecond; the note has what it was.
_MESSAGES = """
with target as (
    select n.id, n.user_id, n.last_seq, n.created_at, (
               select max(m.created_at)
               from {messages} as m
               where m.user_id = n.user_id and m.conversation_id = n.id
           ) as newest_at
    from {conversations} as n
    join plan_conversations as p on p.user_id = n.user_id and p.id = n.id
    where p.step = %(step)s and p.id = any (%(ids)s)
),
incoming as (
    select p.source_id, p.original_at, p.created_at as moment, t.*,
           row_number() over (partition by t.id order by p.place) as nth
    from plan_messages as p
    join target as t on t.id = p.conversation_id
    where p.reason is null and not p.is_here
      and p.place between %(low)s and %(high)s
      and not exists (
          select from {messages} as m where m.user_id = t.user_id and m.id = p.id
      )
),
placed as (
    select i.*, i.nth * interval '1 microsecond' + coalesce(
               greatest(i.newest_at, max(i.moment - i.nth * interval '1 microsecond')
                   over (partition by i.id order by i.nth)),
               i.created_at
           ) as placed_at
    from incoming as i
),
noted as (
    select p.id as conversation_id, p.user_id, p.last_seq + p.nth as seq, p.placed_at, o.id, o.role,
           o.content, o.generated_code, o.is_summary, o.metadata,
           o.note
           || case when p.placed_at is distinct from p.original_at
               then jsonb_build_object('created_at', p.original_at) else '{{}}' end
           || case when o.user_key is not null and o.user_id is distinct from p.user_id
               then jsonb_build_object('user_id', o.user_key) else '{{}}' end as note
    from placed as p
    join old_messages as o on o.source_id = p.source_id
),
stored as (
    insert into {messages}
        (id, conversation_id, user_id, seq, role, content, generated_code, metadata, is_summary,
         created_at)
    select n.id, n.conversation_id, n.user_id, n.seq, n.role, n.content, n.generated_code,
           {metadata}, n.is_summary, n.placed_at
    from noted as n
    order by n.conversation_id, n.seq
    returning user_id, conversation_id, seq, created_at
)
update {conversations} as c
set last_seq = s.last_seq, updated_at = greatest(c.updated_at, s.newest_at)
from (
    select user_id, conversation_id, max(seq) as last_seq, max(created_at) as newest_at
    from stored
    group by user_id, conversation_id
) as s
where c.user_id = s.user_id and c.id = s.conversation_id
"""

_STEPS = """
select c.step, array_agg(c.id order by c.id), sum(w.rows)::bigint, min(w.low), max(w.high)
from plan_conversations as c
cross join lateral (
    select count(*) as rows, coalesce(min(p.place), 1) as low, coalesce(max(p.place), 0) as high
    from plan_messages as p
    where p.conversation_id = c.id and p.reason is null and not p.is_here
) as w
where c.step between %s and %s
group by c.step
order by c.step
"""


@dataclass(frozen=True)
class Step:
    """One user's conversations that are stored at once, and their messages' places."""

    number: int
    ids: list[UUID]
    rows: int
    low: int
    high: int

    def parts(self, most: int) -> Iterator[tuple[int, int]]:
        """Return the places as ranges: one, unless a conversation is long."""
        if self.rows <= 2 * most:
            yield self.low, self.high
            return
        edges = [*range(self.low, self.high + 1, most), self.high + 1]
        yield from ((low, high - 1) for low, high in pairwise(edges))

    def alone(self, conversation: UUID) -> Step:
        """Return a step of one of its conversations."""
        return Step(self.number, [conversation], self.rows, self.low, self.high)


class Copier:
    """Copies the planned rows through one connection, which is not inside of a transaction."""

    def __init__(
        self, connection: psycopg.Connection, new: Chats, *, step_rows: int = STEP_ROWS
    ) -> None:
        self._connection = connection
        self._step_rows = step_rows
        names = {
            "conversations": new.conversations.identifier,
            "messages": new.messages.identifier,
            "ledger": LEDGER,
        }
        self._conversations = sql.SQL(_CONVERSATIONS).format(**names, metadata=stored_metadata("o"))
        self._lock = sql.SQL(_LOCK).format(**names)
        self._messages = sql.SQL(_MESSAGES).format(**names, metadata=stored_metadata("n"))

    def prepare(self) -> None:
        """Make the ledger of what was taken, so that no conversation comes back once deleted."""
        try:
            with self._connection.transaction():
                self._make_ledger()
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema):
            pass  # another run has made both meanwhile

    def _make_ledger(self) -> None:
        known = self._connection.execute("select to_regnamespace(%s)", (LEGACY,)).fetchone()
        if known == (None,):
            self._connection.execute(sql.SQL("create schema {}").format(sql.Identifier(LEGACY)))
        self._connection.execute(sql.SQL(_LEDGER).format(LEDGER))

    def run(self, show: Callable[[int], None]) -> None:
        """Copy all steps, and show how many messages were in each."""
        row = self._connection.execute("select max(step) from plan_conversations").fetchone()
        last = row[0] if row and row[0] else 0
        for first in range(1, last + 1, 100):
            found = self._connection.execute(_STEPS, (first, min(first + 99, last))).fetchall()
            for step in (Step(*row) for row in found):
                self._copy(step)
                show(step.rows)

    def _copy(self, step: Step) -> None:
        try:
            self._retry_busy(self._copy_whole, step)
        except psycopg.Error as exc:
            if not _is_refusal(exc):
                raise
            for conversation in step.ids:
                self._retry_busy(self._copy_what_can_be, step.alone(conversation))

    def _retry_busy(self, copy: Callable[[Step], None], step: Step) -> None:
        for left in reversed(range(TRIES)):
            try:
                copy(step)
            except BUSY:
                if not left:
                    raise
            else:
                return

    def _copy_whole(self, step: Step) -> None:
        # One round trip: most users have few messages, and the database is far.
        with self._connection.pipeline(), self._connection.transaction():
            self._open(step)
            for low, high in step.parts(self._step_rows):
                self._append(step, low, high)

    def _copy_what_can_be(self, step: Step) -> None:
        with self._connection.transaction():
            try:
                with self._connection.transaction():
                    self._open(step)
            except psycopg.Error as exc:
                self._leave_out_conversation(step, _reason(exc))
            else:
                for low, high in step.parts(self._step_rows):
                    self._append_what_can_be(step, low, high)

    def _open(self, step: Step) -> None:
        self._connection.execute(_IMPORTING)
        about = {"step": step.number, "ids": step.ids}
        self._connection.execute(self._conversations, about)
        self._connection.execute(self._lock, about)

    def _append(self, step: Step, low: int, high: int) -> None:
        self._connection.execute(
            self._messages, {"step": step.number, "ids": step.ids, "low": low, "high": high}
        )

    def _append_what_can_be(self, step: Step, low: int, high: int) -> None:
        try:
            with self._connection.transaction():
                self._append(step, low, high)
        except psycopg.Error as exc:
            reason = _reason(exc)
            if low == high:
                self._leave_out(step, low, reason)
                return
            middle = (low + high) // 2
            self._append_what_can_be(step, low, middle)
            self._append_what_can_be(step, middle + 1, high)

    def _leave_out(self, step: Step, place: int, reason: str) -> None:
        self._connection.execute(
            "update plan_messages set reason = %s where conversation_id = %s and place = %s"
            " and reason is null and not is_here",
            (reason, step.ids[0], place),
        )

    def _leave_out_conversation(self, step: Step, reason: str) -> None:
        self._connection.execute(
            "update plan_conversations set reason = %s where id = %s", (reason, step.ids[0])
        )
        self._connection.execute(
            "update plan_messages set reason = %s where conversation_id = %s and reason is null",
            (f"conversation_{reason}", step.ids[0]),
        )


def _is_refusal(exc: psycopg.Error) -> bool:
    return (exc.sqlstate or "").startswith(REFUSALS)


def _reason(exc: psycopg.Error) -> str:
    """Return why a row was refused; raise what is about no row."""
    if not _is_refusal(exc):
        raise exc
    return f"refused: {exc.diag.constraint_name or exc.diag.message_primary or exc.sqlstate}"
