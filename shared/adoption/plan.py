"""What is to be done with each old row: two temporary tables, which all that follows reads.

`plan_conversations` and `plan_messages` hold ids, places and reasons, and no text. A row with a
reason isn't taken; one that `is_here` was taken before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString, cast

from psycopg import sql

from .rows import stored_metadata
from .tables import LEGACY

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

    from .tables import Chats, Table

LEDGER: Final = sql.Identifier(LEGACY, "adopted")
STEP_ROWS: Final = 5000  # messages in a transaction; a longer conversation has one by itself

_CONVERSATIONS = """
create temporary table plan_conversations as
select o.source_id, o.key, o.id, o.user_id,
       n.id is not null as is_here,
       case
           when o.is_deleted then 'deleted_in_the_old_table'
           when o.user_key is null then 'no_user'
           when u.id is null then 'user_unknown'
           when n.user_id <> o.user_id then 'id_taken'
           when n.id is null and a.conversation_id is not null then 'deleted_since'
           when {is_going} then 'deleted_since'
           else {refused}
       end as reason,
       0::bigint as step
from (select o.*, {metadata} as stored_metadata from old_conversations as o) as o
left join auth.users as u on u.id = o.user_id
left join {conversations} as n on n.id = o.id
left join {adopted} as a on a.conversation_id = o.id
"""

# In the order that the old application's own query gives: by created_at, those without one last.
_MESSAGES = """
create temporary table plan_messages as
select o.source_id, o.id, o.key, c.id as conversation_id, c.user_id, o.original_at, o.created_at,
       row_number() over (partition by c.id order by o.original_at, o.source_id) as place,
       n.id is not null as is_here,
       case
           when o.is_deleted then 'deleted_in_the_old_table'
           when c.id is null then 'no_conversation'
           when c.reason is not null then 'conversation_' || c.reason
           when o.user_key is not null and o.user_id is distinct from c.user_id
               and (o.role = 'user' or u.id is not null) then 'of_another_user'
           when n.conversation_id <> c.id then 'id_taken'
           else {refused}
       end as reason
from (select o.*, {metadata} as stored_metadata from old_messages as o) as o
left join plan_conversations as c on c.key = o.key
left join auth.users as u on u.id = o.user_id
left join {messages} as n on n.id = o.id
"""

# A later row can't come before one that has its place.
_OUT_OF_PLACE = """
with here as (
    select p.conversation_id, max(p.place) as place
    from plan_messages as p
    where p.is_here
    group by p.conversation_id
),
growing as (
    select h.*, (
        select max(m.created_at)
        from {messages} as m
        where m.conversation_id = h.conversation_id
          and not exists (select from plan_messages as p where p.id = m.id)
    ) as newest_of_ours
    from here as h
    where exists (
        select from plan_messages as p
        where p.conversation_id = h.conversation_id and p.reason is null and not p.is_here
    )
)
update plan_messages as p
set reason = 'out_of_place'
from growing as g
where p.conversation_id = g.conversation_id
  and p.reason is null and not p.is_here
  and (p.place < g.place or p.created_at <= g.newest_of_ours)
"""

# A step has one user's conversations, each whole.
_STEPS = """
with work as (
    select c.id, c.user_id, count(p.id) as rows
    from plan_conversations as c
    left join plan_messages as p
        on p.conversation_id = c.id and p.reason is null and not p.is_here
    where c.reason is null
    group by c.id, c.user_id, c.is_here
    having count(p.id) > 0 or not c.is_here
),
summed as (
    select w.*, (sum(w.rows + 1) over (partition by w.user_id order by w.id) - w.rows - 1)
           / {step_rows} as bucket
    from work as w
),
numbered as (
    select s.id, dense_rank() over (order by s.user_id, trunc(s.bucket)) as step
    from summed as s
)
update plan_conversations as c set step = n.step from numbered as n where n.id = c.id
"""

_CHECKS = """
select c.conname, pg_get_expr(c.conbin, c.conrelid)
from pg_constraint as c
where c.conrelid = to_regclass(%s) and c.contype = 'c'
  and not exists (
      select from pg_attribute as a
      where a.attrelid = c.conrelid and a.attnum = any (c.conkey) and a.attname <> all (%s)
  )
order by c.conname
"""


def make_plan(
    connection: psycopg.Connection, new: Chats | None, *, step_rows: int = STEP_ROWS
) -> None:
    """Look at every old row; `new` is None as long as the new tables are not there."""
    conversations = new.conversations if new else None
    messages = new.messages if new else None
    steps = conversations is not None and "deleting_since" in conversations.columns
    connection.execute(
        sql.SQL(_CONVERSATIONS).format(
            metadata=stored_metadata("o"),
            refused=_refused(connection, conversations, ("title",)),
            conversations=_rows_of(conversations),
            is_going=sql.SQL("n.deleting_since is not null" if steps else "false"),
            adopted=_ledger(connection),
        )
    )
    connection.execute("create index on plan_conversations (id); analyze plan_conversations")
    connection.execute(
        sql.SQL(_MESSAGES).format(
            metadata=stored_metadata("o"),
            refused=_refused(connection, messages, ("role", "content", "generated_code")),
            messages=_rows_of(messages),
        )
    )
    connection.execute("create index on plan_messages (conversation_id, place)")
    connection.execute("create index on plan_messages (id); analyze plan_messages")
    if messages:
        connection.execute(sql.SQL(_OUT_OF_PLACE).format(messages=messages.identifier))
    connection.execute(sql.SQL(_STEPS).format(step_rows=sql.Literal(step_rows)))
    connection.execute("create index on plan_conversations (step); analyze plan_conversations")


def _rows_of(table: Table | None) -> Composable:
    if table:
        return table.identifier
    return sql.SQL("(select null::uuid as id, null::uuid as user_id, null::uuid as conversation_id"
                   " where false)")  # fmt: skip


def _ledger(connection: psycopg.Connection) -> Composable:
    row = connection.execute(
        "select to_regclass(%s) is not null", (f"{LEGACY}.adopted",)
    ).fetchone()
    return (
        LEDGER if row and row[0] else sql.SQL("(select null::uuid as conversation_id where false)")
    )


def _refused(
    connection: psycopg.Connection, table: Table | None, columns: tuple[str, ...]
) -> Composable:
    """Return which of the table's own checks a row would break, as far as these columns say."""
    if table is None:
        return sql.SQL("null")
    place = f'"{table.schema}"."{table.name}"'
    checks = connection.execute(_CHECKS, (place, [*columns, "metadata"])).fetchall()
    breaks = [
        sql.SQL(" when not ({}) then {}").format(
            sql.SQL(cast("LiteralString", expression)), sql.Literal(f"refused: {name}")
        )
        for name, expression in checks
    ]
    if not breaks:
        return sql.SQL("null")
    row = sql.SQL(", ").join(
        [*(sql.SQL("o.{0}").format(sql.Identifier(name)) for name in columns),
         sql.SQL("o.stored_metadata as metadata")]
    )  # fmt: skip
    return sql.SQL("(select case {} end from (select {}) as planned)").format(
        sql.SQL("").join(breaks), row
    )
