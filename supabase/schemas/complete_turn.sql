-- The second of the two atomic steps around the AI's work: the reply is committed and the turn is
-- settled, in one round trip.

-- A turn's message: for whoever holds the conversation's lock, all that triggers do for other writers.
-- They would look up, once a row, what is known here. Runs as its owner, as they do.
create function private.add_message(
    user_id uuid,
    inout conversation private.conversations,
    turn_id uuid,
    message_id uuid,
    role text,
    content text,
    generated_code text,
    metadata jsonb,
    parts jsonb,
    native jsonb,
    status text,
    failure text,
    out described jsonb
)
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_branch integer := conversation.active_branch;
    v_bytes_per_day bigint;
begin
    conversation.last_seq := conversation.last_seq + 1;
    conversation.updated_at := greatest(
        clock_timestamp(), conversation.updated_at + interval '1 microsecond'
    );

    update public.conversations as c
    set last_seq = conversation.last_seq,
        updated_at = conversation.updated_at
    where c.user_id = add_message.user_id and c.id = conversation.id;

    -- What was written last may be on another branch than the one that is active.
    if v_branch <> conversation.last_branch then
        v_branch := private.begin_branch(
            user_id, conversation.id, v_branch, null, conversation.last_seq
        );
        conversation.active_branch := v_branch;
        conversation.last_branch := v_branch;
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, generated_code, metadata, parts, native,
         turn_id, seq, created_at, branch)
    values
        (add_message.message_id, conversation.id, add_message.user_id, add_message.role,
         add_message.content, add_message.generated_code, add_message.metadata,
         add_message.parts, add_message.native, add_message.turn_id, conversation.last_seq,
         conversation.updated_at, v_branch)
    returning to_jsonb(m) into described;

    insert into search.watermarks (user_id, conversation_id, indexed_seq)
    values (add_message.user_id, conversation.id, conversation.last_seq - 1)
    on conflict on constraint watermarks_pkey do nothing;

    if role = 'user' then
        v_bytes_per_day := (select l.bytes_per_day from private.limits as l);
        if v_bytes_per_day is not null then
            perform private.count_bytes(
                user_id,
                octet_length(content) + octet_length(metadata::text)
                    + case parts when '[]' then 0 else octet_length(parts::text) end
                    + coalesce(octet_length(native::text), 0),
                v_bytes_per_day
            );
        end if;
    end if;

    perform private.broadcast(conversation.id, turn_id, status, failure, described);
end;
$$;

grant execute on function private.add_message to service_role;
comment on function private.add_message is 'Adds a turn''s message to its conversation, which the caller holds, and sends both the message and the turn''s status. Answers the conversation as it is then, and the message''s row.';

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
    tokens bigint default null,
    parts jsonb default '[]',
    native jsonb default null
)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := clock_timestamp();
    v_conversation private.conversations;
    v_turn public.turns;
    v_reply jsonb;
begin
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = complete_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id
      )
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    update public.turns as t
    set status = complete_turn.status,
        error = complete_turn.error,
        draft = '',
        draft_parts = '[]',
        tokens = coalesce(complete_turn.tokens, t.tokens),
        finished_at = greatest(v_now, t.started_at) -- by a clock that may have been set back
    where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id
      and t.attempt = complete_turn.attempt
      and t.status = 'running'
    returning t.* into v_turn;

    if found then
        v_reply := (private.add_message(
            user_id, v_conversation, turn_id, message_id, 'assistant', content, generated_code,
            metadata, parts, native,
            case when status in ('completed', 'cancelled') then 'idle' else 'error' end,
            error ->> 'message'
        )).described;
    else
        -- The same write came before, and its answer was lost on the way; or another's did.
        select t.* into v_turn
        from public.turns as t
        where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id;

        select to_jsonb(m) into v_reply
        from public.messages as m
        where m.user_id = complete_turn.user_id and m.turn_id = complete_turn.turn_id
          and m.role = 'assistant';
    end if;

    return json_build_object(
        'outcome', case v_reply ->> 'id'
            when message_id::text then 'completed'
            else 'superseded'
        end,
        'turn', to_jsonb(v_turn) - '{request_hash,draft,draft_parts}'::text[],
        'reply', v_reply
    );
end;
$$;

revoke all on function public.complete_turn from public, anon, authenticated, service_role;
grant execute on function public.complete_turn to service_role;
comment on function public.complete_turn is 'Commits the reply and closes the turn, for the attempt that holds it. Answers {outcome: completed | superseded, turn, reply}, and of the same call again the same. Raises PT404.';

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

    perform public.complete_turn(
        user_id => interrupt_turn.user_id,
        turn_id => interrupt_turn.turn_id,
        attempt => v_turn.attempt,
        status => v_status,
        message_id => private.new_id(),
        content => coalesce(nullif(v_turn.draft, ''), v_error ->> 'message'),
        metadata => jsonb_build_object(
            'success', false,
            'filesGenerated', 0,
            'files', '[]'::jsonb,
            'duration', round(
                greatest(0, extract(epoch from clock_timestamp() - v_turn.started_at)), 3
            ),
            'intent', null,
            'complexity', null,
            'strategy', null,
            'timestamp', clock_timestamp(),
            'error', v_error
        ),
        error => v_error,
        parts => private.parts_of_draft(v_turn.draft, v_turn.draft_parts)
    );
end;
$$;

grant execute on function private.interrupt_turn to service_role;
comment on function private.interrupt_turn is 'Settles a turn whose worker is gone, as interrupted or, where that was asked for, as cancelled: what it had written becomes the stored reply.';
