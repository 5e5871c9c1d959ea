-- A turn while it runs: it can be read and stopped, and it ends even if its worker does not.

create function public.load_turn(user_id uuid, turn_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform private.require_self(user_id);

    select t.* into v_turn
    from public.turns as t
    where t.user_id = load_turn.user_id and t.id = load_turn.turn_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    return private.describe_turn(user_id, turn_id)::jsonb || jsonb_build_object(
        'draft', v_turn.draft,
        'draft_parts', v_turn.draft_parts,
        'seconds', greatest(0, extract(epoch from now() - v_turn.started_at)),
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now()
    );
end;
$$;

revoke all on function public.load_turn from public, anon, authenticated, service_role;
grant execute on function public.load_turn to authenticated, service_role;
comment on function public.load_turn is 'A turn with its messages, its draft and the seconds since it began, as its owner sees it. Raises PT403, PT404.';

create function public.find_turn(user_id uuid, idempotency_keys text[])
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn_id uuid;
begin
    perform private.require_self(user_id);

    select found.id into v_turn_id
    from unnest(find_turn.idempotency_keys) with ordinality as wanted (key, place)
    -- With its limit it is looked up, whatever the planner takes the table for.
    cross join lateral (
        select t.id
        from public.turns as t
        where t.user_id = find_turn.user_id and t.idempotency_key = wanted.key
        limit 1
    ) as found
    order by wanted.place
    limit 1;

    return public.load_turn(user_id, v_turn_id);
end;
$$;

revoke all on function public.find_turn from public, anon, authenticated, service_role;
grant execute on function public.find_turn to authenticated, service_role;
comment on function public.find_turn is 'The turn of the first of these keys that has one, as load_turn gives it. Raises PT403, PT404.';

-- What is asked four times a second while somebody follows a turn: nothing that can't have changed.
create function public.follow_turn(
    user_id uuid,
    turn_id uuid,
    attempt integer,
    draft_offset integer,
    parts_version integer default 0
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = follow_turn.user_id and t.id = follow_turn.turn_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    if v_turn.attempt <> follow_turn.attempt then
        draft_offset := 0;
        parts_version := 0;
    end if;
    return jsonb_build_object(
        'status', v_turn.status,
        'attempt', v_turn.attempt,
        'lease_expires_at', v_turn.lease_expires_at,
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now(),
        'draft_tail', substr(v_turn.draft, greatest(draft_offset, 0) + 1),
        'draft_parts', case v_turn.draft_parts
            when '[]' then '[]'
            else jsonb_path_query_array(
                v_turn.draft_parts,
                '$[*] ? (@.version > $seen)',
                jsonb_build_object('seen', parts_version)
            )
        end
    );
end;
$$;

revoke all on function public.follow_turn from public, anon, authenticated, service_role;
grant execute on function public.follow_turn to service_role;
comment on function public.follow_turn is 'How a turn stands, and its draft from an offset on (in characters) with the parts that have changed since a version, or all of it where another attempt than this one writes: {status, attempt, lease_expires_at, is_expired, draft_tail, draft_parts}. Raises PT404.';

create function public.cancel_turn(user_id uuid, turn_id uuid)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := clock_timestamp();
    v_conversation_id uuid;
begin
    perform 1
    from private.conversations as c
    where c.user_id = cancel_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = cancel_turn.user_id and t.id = cancel_turn.turn_id
      )
    for update;

    update public.turns as t
    set cancel_requested_at = coalesce(
        t.cancel_requested_at, case t.status when 'running' then v_now end
    )
    where t.user_id = cancel_turn.user_id and t.id = cancel_turn.turn_id
    returning t.conversation_id into v_conversation_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    perform public.settle_expired_turn(user_id, v_conversation_id);
    return private.describe_turn(user_id, turn_id);
end;
$$;

revoke all on function public.cancel_turn from public, anon, authenticated, service_role;
grant execute on function public.cancel_turn to service_role;
comment on function public.cancel_turn is 'Asks a running turn to stop, for good; one without a worker is settled at once. A settled turn stays as it is. Raises PT404.';

create function public.settle_expired_turn(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_turn_id uuid;
begin
    -- Whoever holds the conversation is writing to it: then there is nothing to clean up yet.
    select t.id into v_turn_id
    from private.conversations as c
    join public.turns as t
        on t.user_id = c.user_id and t.conversation_id = c.id
    where c.user_id = settle_expired_turn.user_id and c.id = settle_expired_turn.conversation_id
      and t.status = 'running'
      and t.lease_expires_at <= clock_timestamp()
    for update skip locked;

    if found then
        perform private.interrupt_turn(user_id, v_turn_id);
    end if;
    return jsonb_build_object('settled', (v_turn_id is not null)::integer);
end;
$$;

revoke all on function public.settle_expired_turn from public, anon, authenticated, service_role;
grant execute on function public.settle_expired_turn to service_role;
comment on function public.settle_expired_turn is 'Settles a conversation''s running turn if its lease is over.';

-- A listing: it reads over all users, and settle_expired_turn then writes for one.
create function public.list_expired_turns(most integer default 1000)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object('turns', coalesce(jsonb_agg(to_jsonb(expired)), '[]'))
    from (
        select t.user_id, t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at <= clock_timestamp()
        order by t.lease_expires_at
        limit list_expired_turns.most
    ) as expired;
$$;

revoke all on function public.list_expired_turns from public, anon, authenticated, service_role;
grant execute on function public.list_expired_turns to service_role;
comment on function public.list_expired_turns is 'The running turns whose lease is over, longest first: {turns: [{user_id, conversation_id}]}.';
