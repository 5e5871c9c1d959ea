-- The second of the two atomic steps around the AI's work: the reply is committed and the turn is
-- settled, in one round trip.

create function private.settle_turn(
    user_id uuid,
    turn_id uuid,
    attempt integer,
    status text,
    message_id uuid,
    content text,
    generated_code text default null,
    metadata jsonb default '{}',
    error jsonb default null,
    tokens bigint default null,
    out turn public.turns,
    out reply public.messages
)
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    update public.turns as t
    set status = settle_turn.status,
        error = settle_turn.error,
        draft = '',
        tokens = coalesce(settle_turn.tokens, t.tokens),
        finished_at = clock_timestamp()
    where t.user_id = settle_turn.user_id and t.id = settle_turn.turn_id
      and t.attempt = settle_turn.attempt
      and t.status = 'running'
    returning t.* into turn;

    if not found then
        return;
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, generated_code, metadata, turn_id)
    values
        (settle_turn.message_id, turn.conversation_id, settle_turn.user_id, 'assistant',
         settle_turn.content, settle_turn.generated_code, settle_turn.metadata,
         settle_turn.turn_id)
    returning m.* into reply;

    perform private.broadcast_status(
        turn.conversation_id,
        turn_id,
        case when settle_turn.status in ('completed', 'cancelled') then 'idle' else 'error' end,
        settle_turn.error ->> 'message'
    );
end;
$$;

revoke all on function private.settle_turn from public, anon, authenticated, service_role;
grant execute on function private.settle_turn to service_role;
comment on function private.settle_turn is 'Closes a running turn with its one reply and sends its last status, if this attempt holds it; else it answers nothing. The caller holds the conversation''s lock.';

create function public.complete_turn(
    user_id uuid,
    turn_id uuid,
    attempt integer,
    message_id uuid,
    status text,
    content text,
    generated_code text default null,
    metadata jsonb default '{}',
    error jsonb default null,
    tokens bigint default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_settled record;
begin
    perform 1
    from private.conversations as c
    where c.user_id = complete_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id
      )
    for update;

    v_settled := private.settle_turn(
        complete_turn.user_id, complete_turn.turn_id, complete_turn.attempt,
        complete_turn.status, complete_turn.message_id, complete_turn.content,
        complete_turn.generated_code, complete_turn.metadata, complete_turn.error,
        complete_turn.tokens
    );

    if (v_settled.turn).id is not null then
        return private.describe_rows(
            user_id, v_settled.turn, private.message_of_turn(user_id, v_settled.turn),
            v_settled.reply, 'completed'
        );
    end if;

    -- The same write came before, and its answer was lost on the way; or another's did.
    return private.describe_turn(
        user_id,
        turn_id,
        case
            when exists (
                select 1
                from public.messages as m
                where m.user_id = complete_turn.user_id and m.turn_id = complete_turn.turn_id
                  and m.role = 'assistant'
                  and m.id = complete_turn.message_id
            ) then 'completed'
            else 'superseded'
        end
    );
end;
$$;

revoke all on function public.complete_turn from public, anon, authenticated, service_role;
grant execute on function public.complete_turn to service_role;
comment on function public.complete_turn is 'Commits the reply and closes the turn, for the attempt that holds it. Answers outcome completed or superseded. Raises PT404.';

create function private.interrupt_turn(user_id uuid, turn_id uuid)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_status text := 'interrupted';
    v_error jsonb := jsonb_build_object(
        'type', 'interrupted',
        'message', 'The reply was interrupted before it was complete.'
    );
begin
    select t.* into strict v_turn
    from public.turns as t
    where t.user_id = interrupt_turn.user_id and t.id = interrupt_turn.turn_id;

    if v_turn.cancel_requested_at is not null then
        v_status := 'cancelled';
        v_error := jsonb_build_object('type', 'cancelled', 'message', 'The reply was stopped.');
    end if;

    perform private.settle_turn(
        user_id => interrupt_turn.user_id,
        turn_id => interrupt_turn.turn_id,
        attempt => v_turn.attempt,
        status => v_status,
        message_id => gen_random_uuid(),
        content => coalesce(nullif(v_turn.draft, ''), v_error ->> 'message'),
        metadata => jsonb_build_object(
            'success', false,
            'filesGenerated', 0,
            'files', '[]'::jsonb,
            'duration', round(extract(epoch from clock_timestamp() - v_turn.started_at), 3),
            'intent', null,
            'complexity', null,
            'strategy', null,
            'timestamp', clock_timestamp(),
            'error', v_error
        ),
        error => v_error
    );
end;
$$;

revoke all on function private.interrupt_turn from public, anon, authenticated, service_role;
grant execute on function private.interrupt_turn to service_role;
comment on function private.interrupt_turn is 'Settles a turn whose worker is gone, as interrupted or, where that was asked for, as cancelled: what it had written becomes the stored reply.';
