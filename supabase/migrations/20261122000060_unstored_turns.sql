-- A turn of which nothing is stored costs the AI as much as any other, so it counts as well: else
-- whoever asks for nothing to be stored would have no limit. What is kept of it is when it began,
-- and for a day: in deleted_turns, which holds when turns began whose rows aren't there, whether
-- they are deleted or were never stored.

comment on table public.deleted_turns is
    'When turns began whose rows are not there, for a day: those of deleted conversations, and those that were never stored. What the limits of turns count beside the rows that are there. No policy for insert, update, delete: a trigger and count_unstored_turn alone write it, and what is older is removed.';

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.count_unstored_turn(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
    -- Locks the user's limits until the end: of two requests at once, one takes the last place.
    perform public.require_turns_left(
        count_unstored_turn.user_id,
        count_unstored_turn.turns_per_minute,
        count_unstored_turn.turns_per_day
    );

    insert into public.deleted_turns (user_id, started_at)
    values (count_unstored_turn.user_id, now());

    perform public.forget_deleted_turns(); -- those who ask for nothing to be stored may never delete
    return jsonb_build_object('is_counted', true);
end;
$$;

revoke all on function public.count_unstored_turn(uuid, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.count_unstored_turn(uuid, integer, integer) to service_role;
comment on function public.count_unstored_turn(uuid, integer, integer) is
    'Counts a turn of which nothing is stored towards its user''s limits. Answers {is_counted}. Raises PT429 where none is left.';
