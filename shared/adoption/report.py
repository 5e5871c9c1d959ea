"""What an adoption says: what it found, what it changes, what it leaves out, what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import sql

from .rows import left_behind

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from .tables import Chats

REASONS: Final = {
    "deleted_in_the_old_table": "marked as deleted there",
    "no_user": "belongs to nobody",
    "user_unknown": "its user has no account any more",
    "id_taken": "another row here has its id",
    "deleted_since": "was adopted, and deleted here since",
    "no_conversation": "its conversation is not there",
    "of_another_user": "a user wrote it into somebody else's conversation",
    "out_of_place": "comes before a message that is here already",
}

_COUNTS = """
select count(*),
       count(*) filter (where reason is null and not is_here),
       count(*) filter (where reason is null and is_here),
       count(*) filter (where reason is not null)
from {}
"""

_LEFT_OUT = """
select reason, sum(conversations)::bigint, sum(messages)::bigint
from (
    select reason, 1 as conversations, 0 as messages from plan_conversations
    union all
    select reason, 0, 1 from plan_messages
) as planned
where reason is not null
group by reason
order by 3 desc, 2 desc, 1
"""

_LISTED = """
copy (
    select 'conversations' as "table", source_id::text as id, null as conversation_id,
           user_id, reason
    from plan_conversations where reason is not null
    union all
    select 'messages', source_id::text, key, user_id, reason
    from plan_messages where reason is not null
    order by 1, 5, 3, 2
) to stdout with (format csv, header)
"""

_CHANGED = """
select noted.name, count(*)
from (
    select jsonb_object_keys(o.note) as name
    from {view} as o join {plan} as p on p.source_id = o.source_id
    where p.reason is null and not p.is_here
) as noted
group by noted.name
order by 2 desc, 1
"""

_MOVED = """
select count(*)
from (
    select not p.is_here and p.created_at <= lag(p.created_at)
               over (partition by p.conversation_id order by p.place) as is_tie
    from plan_messages as p
    where p.reason is null
) as placed
where is_tie
"""

# A user whose rows are not all there, each in its conversation and with its owner.
_MISSING = """
select p.user_id, count(*), count(m.id)
from plan_messages as p
left join {messages} as m
    on m.user_id = p.user_id and m.id = p.id and m.conversation_id = p.conversation_id
where p.reason is null
group by p.user_id
having count(*) <> count(m.id)
union all
select p.user_id, count(*), count(c.id)
from plan_conversations as p
left join {conversations} as c on c.user_id = p.user_id and c.id = p.id
where p.reason is null
group by p.user_id
having count(*) <> count(c.id)
"""

_ORDER = """
select count(*)
from (
    select c.id
    from plan_conversations as p
    join {conversations} as c on c.id = p.id
    left join {messages} as m on m.user_id = c.user_id and m.conversation_id = c.id
    where p.reason is null
    group by c.id, c.last_seq
    having count(m.id) <> c.last_seq or max(m.seq) is distinct from nullif(c.last_seq, 0)
) as wrong
"""


@dataclass(frozen=True)
class Counts:
    """Rows of an old table: all, those to take, those that are here, and those left out."""

    found: int
    to_take: int
    here: int
    left_out: int


def count(connection: psycopg.Connection, plan: str) -> Counts:
    """Count a plan's rows by what becomes of them."""
    row = connection.execute(sql.SQL(_COUNTS).format(sql.Identifier(plan))).fetchone()
    assert row is not None  # noqa: S101 -- an aggregate has a row
    return Counts(*row)


def lines_of_counts(connection: psycopg.Connection) -> list[str]:
    """Return a table of what becomes of the old rows."""
    rows = [("", "found", "to take", "taken before", "left out")]
    for name in ("conversations", "messages"):
        counts = count(connection, f"plan_{name}")
        numbers = (counts.found, counts.to_take, counts.here, counts.left_out)
        rows.append((name, *(f"{number:,}" for number in numbers)))  # type: ignore[arg-type]
    return [f"{row[0]:14}" + "".join(f"{cell:>14}" for cell in row[1:]) for row in rows]


def lines_of_left_out(connection: psycopg.Connection) -> list[str]:
    """Return a line for each reason for which rows are left out."""
    return [
        f"left out: {conversations:,} conversations, {messages:,} messages: {_in_words(reason)}"
        for reason, conversations, messages in connection.execute(_LEFT_OUT).fetchall()
    ]


def lines_of_changes(connection: psycopg.Connection, old: Chats) -> list[str]:
    """Return a line for each column that isn't stored as it was: metadata.adopted has the value."""
    lines = []
    for name in ("conversations", "messages"):
        query = sql.SQL(_CHANGED).format(
            view=sql.Identifier(f"old_{name}"), plan=sql.Identifier(f"plan_{name}")
        )
        lines += [
            f"kept in metadata.adopted: {name}.{column} of {number:,}"
            for column, number in connection.execute(query).fetchall()
        ]
    ties = connection.execute(_MOVED).fetchone()
    if ties and ties[0]:
        lines.append(f"moved by microseconds: messages.created_at of {ties[0]:,}, which tied")
    for table in (old.conversations, old.messages):
        lines += [
            f"stays in the old table alone: {table.name}.{column}, which is made from others"
            for column in left_behind(table)
        ]
    return lines


def write_left_out(connection: psycopg.Connection, path: Path) -> None:
    """Write every row that is left out: its table, ids, user and why, and none of its text."""
    with path.open("wb") as file, connection.cursor() as cursor, cursor.copy(_LISTED) as rows:
        for piece in rows:
            file.write(piece)


def lines_of_comparison(connection: psycopg.Connection, old: Chats, new: Chats) -> list[str]:
    """Compare what was to be taken with what is there, by user; a line for each difference."""
    names = {"conversations": new.conversations.identifier, "messages": new.messages.identifier}
    missing = connection.execute(sql.SQL(_MISSING).format(**names)).fetchall()
    lines = [
        f"user {user}: {there:,} of {planned:,} rows are here" for user, planned, there in missing
    ]
    wrong = connection.execute(sql.SQL(_ORDER).format(**names)).fetchone()
    if wrong and wrong[0]:
        lines.append(f"{wrong[0]:,} conversations have a wrong last_seq: see the doctor")
    return lines + _arrived(connection, old)


def _arrived(connection: psycopg.Connection, old: Chats) -> list[str]:
    lines = []
    for table in (old.conversations, old.messages):
        query = sql.SQL("select count(*) from {}").format(table.identifier)
        row = connection.execute(query).fetchone()
        more = (row[0] if row else 0) - count(connection, f"plan_{table.name}").found
        if more > 0:
            lines.append(f"{table.name}: {more:,} more have arrived; run this again to take them")
    return lines


def _in_words(reason: str) -> str:
    """Return a reason as a sentence; a conversation's is that of its messages too."""
    kind = reason.removeprefix("conversation_")
    words = REASONS.get(kind, kind)
    return f"their conversation is left out ({words})" if kind != reason else words
