-- The second of the two atomic steps around the AI's work: the reply is committed and the turn is
-- settled, in one round trip. Lock order everywhere: the key, the conversation, the turn.

create function private.settle_turn(
    turn_id uuid,
    status text,
    message_id uuid,
    content text,
    generated_code text default null,
    metadata jsonb default '{}',
    error jsonb default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    update public.turns
    set status = settle_turn.status,
        reply_message_id = settle_turn.message_id,
        error = settle_turn.error,
        draft = '',
        finished_at = clock_timestamp()
    where id = settle_turn.turn_id
    returning * into v_turn;

    insert into public.messages
        (id, conversation_id, user_id, role, content, generated_code, metadata, turn_id)
    values
        (settle_turn.message_id, v_turn.conversation_id, v_turn.user_id, 'assistant',
         settle_turn.content, settle_turn.generated_code, settle_turn.metadata, v_turn.id);

    perform private.broadcast_status(
        v_turn.conversation_id,
        v_turn.id,
        case v_turn.status when 'completed' then 'idle' when 'cancelled' then 'idle' else 'error' end,
        v_turn.error ->> 'message'
    );
end;
$$;

revoke all on function private.settle_turn from public, anon, authenticated, service_role;
grant execute on function private.settle_turn to service_role;
comment on function private.settle_turn is
    'Closes a running turn with its one reply and tells the topic. The caller holds the conversation''s lock.';

create function public.complete_turn(
    turn_id uuid,
    attempt integer,
    message_id uuid,
    status text,
    content text,
    generated_code text default null,
    metadata jsonb default '{}',
    error jsonb default null
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
    where c.id = (select t.conversation_id from public.turns as t where t.id = complete_turn.turn_id)
    for update;

    select t.* into v_turn
    from public.turns as t
    where t.id = complete_turn.turn_id
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    elsif v_turn.reply_message_id = complete_turn.message_id then
        -- The same write again: its answer was lost on the way.
        return private.describe_turn(v_turn.id, 'completed');
    elsif v_turn.status <> 'running' or v_turn.attempt <> complete_turn.attempt then
        return private.describe_turn(v_turn.id, 'superseded');
    end if;

    perform private.settle_turn(
        turn_id => v_turn.id,
        status => complete_turn.status,
        message_id => complete_turn.message_id,
        content => complete_turn.content,
        generated_code => complete_turn.generated_code,
        metadata => complete_turn.metadata,
        error => complete_turn.error
    );
    return private.describe_turn(v_turn.id, 'completed');
end;
$$;

revoke all on function public.complete_turn from public, anon, authenticated, service_role;
grant execute on function public.complete_turn to service_role;
comment on function public.complete_turn is
    'Commits the reply and closes the turn, for the attempt that holds it. Answers outcome completed or superseded. Raises PT404.';

create function private.interrupt_turn(turn_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
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
    select * into strict v_turn from public.turns where id = interrupt_turn.turn_id;

    if v_turn.cancel_requested_at is not null then
        v_status := 'cancelled';
        v_error := jsonb_build_object('type', 'cancelled', 'message', 'The reply was stopped.');
    end if;

    perform private.settle_turn(
        turn_id => v_turn.id,
        status => v_status,
        message_id => gen_random_uuid(),
        content => coalesce(nullif(v_turn.draft, ''), v_error ->> 'message'),
        metadata => jsonb_build_object(
            'success', false,
            'filesGenerated', '[]'::jsonb,
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
comment on function private.interrupt_turn is
    'Settles a turn whose worker is gone, as interrupted or, where that was asked for, as cancelled: what it had written becomes the stored reply.';
