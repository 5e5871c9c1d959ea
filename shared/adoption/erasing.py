"""What an erasure does to old tables that were moved aside: a function beside them.

Made by the migration that moves them, since only their owner may delete there, and only whoever
reads their columns can write it. `erase_account` calls it where it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .tables import LEGACY

if TYPE_CHECKING:
    from .tables import Chats

# A conversation at a time, since messages may point at others of theirs. Compared as text: the
# old columns may be of any type.
_FUNCTION: Final = """\
-- Called by an erasure: what is put aside here is erased as well. Says whether some is left.
create function {legacy}.erase_user(user_id uuid, until timestamptz)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation text;
begin
    for v_conversation in
        select c.id::text
        from {legacy}.conversations as c
        where lower(c.user_id::text) = erase_user.user_id::text
    loop
        delete from {legacy}.messages as m where m.conversation_id::text = v_conversation;
        delete from {legacy}.conversations as c where c.id::text = v_conversation;
        if clock_timestamp() > until then
            return true;
        end if;
    end loop;
{elsewhere}    return false;
end;
$$;

revoke all on function {legacy}.erase_user from public, anon, authenticated, service_role;
grant execute on function {legacy}.erase_user to service_role;
"""

_ELSEWHERE: Final = """\
    -- In conversations of others.
    delete from {legacy}.messages as m where lower(m.user_id::text) = erase_user.user_id::text;
"""


def erase_function(old: Chats) -> str:
    """Return the statements that make it, for tables with these columns."""
    has_user = "user_id" in old.messages.columns
    elsewhere = _ELSEWHERE.format(legacy=LEGACY) if has_user else ""
    return _FUNCTION.format(legacy=LEGACY, elsewhere=elsewhere)
