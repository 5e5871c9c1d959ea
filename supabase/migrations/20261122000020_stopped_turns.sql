-- A turn that its owner has stopped is stopped for good, also where its worker was gone before it
-- heard of that: a retry settles it with what it had written, and nobody writes on. Grants and
-- comment stay as they are.

create or replace function public.resume_turn(
    turn_id uuid,
    lease_seconds integer,
    history_limit integer,
    history_tokens integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform 1
    from public.conversations as c
    where c.id = (select t.conversation_id from public.turns as t where t.id = resume_turn.turn_id)
    for update;

    select t.* into v_turn
    from public.turns as t
    where t.id = resume_turn.turn_id
    for update;

    if not found then
        -- Its conversation was deleted in the meantime.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    if v_turn.status = 'running' and v_turn.lease_expires_at <= clock_timestamp() then
        if v_turn.cancel_requested_at is null then
            update public.turns
            set attempt = attempt + 1,
                draft = '',
                lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
            where id = v_turn.id;

            perform public.broadcast_status(v_turn.conversation_id, v_turn.id, 'accepted');
            return public.describe_turn(v_turn.id, 'taken_over', history_limit, history_tokens);
        end if;
        perform public.interrupt_turn(v_turn.id);
    end if;

    update public.turns
    set replays = replays + 1
    where id = v_turn.id
    returning * into v_turn;

    return public.describe_turn(
        v_turn.id, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    );
end;
$$;
