-- The two atomic phases around the model call, each one round trip and one commit.
-- Lock order everywhere: the key, then the conversation, then the turn.

create function public.describe_turn(
    turn_id uuid,
    outcome text,
    history_limit integer default 0
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'outcome', outcome,
        'turn', to_jsonb(t) - 'request_hash' - 'draft',
        'conversation', to_jsonb(c),
        'user_message', to_jsonb(u),
        'reply', to_jsonb(r),
        'history', (
            select coalesce(jsonb_agg(to_jsonb(h) order by h.seq), '[]')
            from (
                select m.seq, m.role, m.content, m.is_summary
                from public.messages as m
                where m.conversation_id = t.conversation_id
                  and m.seq < u.seq
                order by m.seq desc
                limit history_limit
            ) as h
        )
    )
    from public.turns as t
    join public.conversations as c on c.id = t.conversation_id
    join public.messages as u on u.id = t.user_message_id
    left join public.messages as r on r.id = t.reply_message_id
    where t.id = describe_turn.turn_id;
$$;

revoke all on function public.describe_turn(uuid, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.describe_turn(uuid, text, integer) to service_role;
comment on function public.describe_turn(uuid, text, integer) is
    'A turn with its conversation, its messages and the history before it, as begin_turn and complete_turn answer it.';

create function public.settle_turn(
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

    perform public.broadcast_status(
        v_turn.conversation_id,
        v_turn.id,
        case v_turn.status when 'completed' then 'idle' when 'cancelled' then 'idle' else 'error' end,
        v_turn.error ->> 'message'
    );
end;
$$;

revoke all on function public.settle_turn(uuid, text, uuid, text, text, jsonb, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.settle_turn(uuid, text, uuid, text, text, jsonb, jsonb) to service_role;
comment on function public.settle_turn(uuid, text, uuid, text, text, jsonb, jsonb) is
    'Closes a running turn with its one reply and tells the topic. The caller holds the conversation''s lock.';

create function public.interrupt_turn(turn_id uuid)
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

    perform public.settle_turn(
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

revoke all on function public.interrupt_turn(uuid) from public, anon, authenticated, service_role;
grant execute on function public.interrupt_turn(uuid) to service_role;
comment on function public.interrupt_turn(uuid) is
    'Settles a turn whose worker is gone, as interrupted or, where that was asked for, as cancelled: what it had written becomes the stored reply.';

create function public.title_from_request(request text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
    select coalesce(
        nullif(btrim(left(regexp_replace(btrim(left(request, 400)), '\s+', ' ', 'g'), 80)), ''),
        'New Chat'
    );
$$;

revoke all on function public.title_from_request(text) from public, anon, authenticated, service_role;
grant execute on function public.title_from_request(text) to service_role;
comment on function public.title_from_request(text) is
    'The title of a conversation that starts with this request: its first 80 characters on one line.';

create function public.require_turns_left(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_limit record;
    v_next timestamptz;
begin
    if turns_per_minute is null and turns_per_day is null then
        return;
    end if;

    -- One at a time for each user: two requests at once can't both take the last place.
    perform pg_advisory_xact_lock(hashtextextended('turns/' || user_id::text, 0));

    for v_limit in
        select *
        from (values
            (turns_per_minute, interval '1 minute', 'minute'),
            (turns_per_day, interval '1 day', 'day')
        ) as limits (turns, period, name)
        where turns is not null
    loop
        -- The oldest of the newest turns: when it leaves the period, a place is free.
        select t.started_at + v_limit.period into v_next
        from public.turns as t
        where t.user_id = require_turns_left.user_id
          and t.started_at > now() - v_limit.period
        order by t.started_at desc
        offset greatest(v_limit.turns - 1, 0)
        limit 1;

        if found or v_limit.turns = 0 then
            raise exception 'Too many turns this %.', v_limit.name
                using errcode = 'PT429',
                      detail = 'too_many_turns',
                      hint = format(
                          'Try again in %s seconds.',
                          greatest(1, ceil(extract(epoch from coalesce(v_next, now() + v_limit.period) - now())))
                      );
        end if;
    end loop;
end;
$$;

revoke all on function public.require_turns_left(uuid, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.require_turns_left(uuid, integer, integer) to service_role;
comment on function public.require_turns_left(uuid, integer, integer) is
    'Raises PT429 where a user has begun as many turns as a minute or a day allows; null is no limit.';

create function public.begin_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    request text,
    message_id uuid,
    conversation_id uuid default null,
    project_id uuid default null,
    metadata jsonb default '{}',
    lease_seconds integer default 120,
    history_limit integer default 200,
    turns_per_minute integer default null,
    turns_per_day integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation_id uuid;
    v_turn public.turns;
    v_lease_expires_at timestamptz;
begin
    -- Callers with one key queue here; each then sees what the one before it committed.
    perform pg_advisory_xact_lock(hashtextextended(user_id::text || '/' || idempotency_key, 0));

    select t.* into v_turn
    from public.turns as t
    where t.user_id = begin_turn.user_id
      and t.idempotency_key = begin_turn.idempotency_key;

    if found then
        if v_turn.request_hash <> begin_turn.request_hash then
            raise exception 'This idempotency key was used for another request.'
                using errcode = 'PT422', detail = 'idempotency_key_reused';
        end if;
        if v_turn.user_message_id = begin_turn.message_id
            and v_turn.status = 'running'
            and v_turn.attempt = 1
        then
            -- The same call again: its answer was lost on the way, so nobody works on it yet.
            return public.describe_turn(v_turn.id, 'started', history_limit);
        end if;
        return public.resume_turn(v_turn.id, lease_seconds, history_limit);
    end if;

    perform public.require_turns_left(user_id, turns_per_minute, turns_per_day);

    if conversation_id is null then
        insert into public.conversations (user_id, project_id, title)
        values (begin_turn.user_id, begin_turn.project_id, public.title_from_request(request))
        returning id into v_conversation_id;
    else
        select c.id into v_conversation_id
        from public.conversations as c
        where c.id = begin_turn.conversation_id
          and c.user_id = begin_turn.user_id
        for update;

        if not found then
            raise exception 'Conversation not found.'
                using errcode = 'PT404', detail = 'conversation_not_found';
        end if;

        select t.* into v_turn
        from public.turns as t
        where t.conversation_id = v_conversation_id
          and t.status = 'running';

        if found and v_turn.lease_expires_at > clock_timestamp() then
            return public.describe_turn(v_turn.id, 'in_progress');
        elsif found then
            perform public.interrupt_turn(v_turn.id);
        end if;
    end if;

    v_lease_expires_at := clock_timestamp() + make_interval(secs => lease_seconds);

    insert into public.turns
        (conversation_id, user_id, idempotency_key, request_hash, lease_expires_at, user_message_id)
    values
        (v_conversation_id, begin_turn.user_id, begin_turn.idempotency_key,
         begin_turn.request_hash, v_lease_expires_at, begin_turn.message_id)
    returning * into v_turn;

    insert into public.messages
        (id, conversation_id, user_id, role, content, metadata, turn_id)
    values
        (begin_turn.message_id, v_conversation_id, begin_turn.user_id, 'user',
         begin_turn.request, begin_turn.metadata, v_turn.id);

    perform public.broadcast_status(v_conversation_id, v_turn.id, 'accepted');
    return public.describe_turn(v_turn.id, 'started', history_limit);
end;
$$;

create function public.resume_turn(
    turn_id uuid,
    lease_seconds integer,
    history_limit integer
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
    elsif v_turn.status <> 'running' then
        return public.describe_turn(v_turn.id, 'replayed');
    elsif v_turn.lease_expires_at > clock_timestamp() then
        return public.describe_turn(v_turn.id, 'in_progress');
    end if;

    update public.turns
    set attempt = attempt + 1,
        draft = '',
        lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where id = v_turn.id;

    perform public.broadcast_status(v_turn.conversation_id, v_turn.id, 'accepted');
    return public.describe_turn(v_turn.id, 'taken_over', history_limit);
end;
$$;

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
        return public.describe_turn(v_turn.id, 'completed');
    elsif v_turn.status <> 'running' or v_turn.attempt <> complete_turn.attempt then
        return public.describe_turn(v_turn.id, 'superseded');
    end if;

    perform public.settle_turn(
        turn_id => v_turn.id,
        status => complete_turn.status,
        message_id => complete_turn.message_id,
        content => complete_turn.content,
        generated_code => complete_turn.generated_code,
        metadata => complete_turn.metadata,
        error => complete_turn.error
    );
    return public.describe_turn(v_turn.id, 'completed');
end;
$$;

revoke all on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer)
    to service_role;
comment on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer) is
    'Commits a user''s message and opens its turn. Answers {outcome: started | taken_over | replayed | in_progress, turn, conversation, user_message, reply, history}. Raises PT404, PT422, PT429.';

revoke all on function public.resume_turn(uuid, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.resume_turn(uuid, integer, integer) to service_role;
comment on function public.resume_turn(uuid, integer, integer) is
    'What a known key leads to: the stored reply, word that it still runs, or the turn taken over where its lease is over.';

revoke all on function public.complete_turn(uuid, integer, uuid, text, text, text, jsonb, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.complete_turn(uuid, integer, uuid, text, text, text, jsonb, jsonb)
    to service_role;
comment on function public.complete_turn(uuid, integer, uuid, text, text, text, jsonb, jsonb) is
    'Commits the reply and closes the turn, for the attempt that holds it. Answers outcome completed or superseded. Raises PT404.';
