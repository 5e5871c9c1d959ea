-- A turn while it runs: it shows how far it is, it can be stopped, and it ends even if its worker
-- does not.

-- The heartbeat of one turn. Null where somebody holds it, who settles or stops it: it waits for the next
-- one, so that no other turn waits for it. A heartbeat that is late never shortens a draft, nor leaves a
-- hole in it. A writer outside, who sends a step again if its answer was lost, says with it at which
-- version of the parts it stands: at another one the draft stays as it is. So does one that has no more
-- room in its row: refused, it would cost all the others their leases.
create function private.extend_turn(user_id uuid, extension jsonb, lease_seconds integer)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_asked record;
    v_turn public.turns;
    v_end integer;
    v_is_next boolean := true;
    v_draft text;
    v_draft_parts jsonb;
begin
    select * into v_asked
    from jsonb_to_record(extension)
        as a (turn_id uuid, attempt integer, draft_offset integer, draft_tail text,
              draft_parts jsonb, parts_version integer, tokens bigint);

    select t.* into v_turn
    from public.turns as t
    where t.user_id = extend_turn.user_id and t.id = v_asked.turn_id
      and t.attempt = v_asked.attempt
      and t.status = 'running'
    for update skip locked;

    if v_turn.id is null then
        return case
            when not exists (
                select 1
                from public.turns as t
                where t.user_id = extend_turn.user_id and t.id = v_asked.turn_id
                  and t.attempt = v_asked.attempt
                  and t.status = 'running'
            ) then jsonb_build_object(
                'turn_id', v_asked.turn_id,
                'is_ours', false,
                'cancel_requested', false
            )
        end;
    end if;

    v_draft := v_turn.draft;
    v_draft_parts := v_turn.draft_parts;
    v_end := v_asked.draft_offset + char_length(v_asked.draft_tail);
    if v_asked.parts_version is not null then
        v_is_next := v_asked.parts_version = private.draft_version(v_draft_parts)
            and char_length(v_draft) between v_asked.draft_offset and v_end;
    end if;

    if v_is_next then
        if char_length(v_draft) between v_asked.draft_offset and v_end - 1 then
            v_draft := left(v_draft, v_asked.draft_offset) || v_asked.draft_tail;
        end if;
        if v_asked.draft_parts is not null then
            v_draft_parts := private.merge_draft_parts(v_draft_parts, v_asked.draft_parts);
        end if;
    end if;
    if (v_draft_parts <> '[]' or octet_length(v_draft) > 333333)
        and octet_length(to_json(v_draft)::text) + octet_length(v_draft_parts::text) > 2000004
    then
        v_draft := v_turn.draft;
        v_draft_parts := v_turn.draft_parts;
    end if;

    v_asked.tokens := coalesce(v_asked.tokens, v_turn.tokens);
    update public.turns as t
    set lease_expires_at = clock_timestamp() + make_interval(secs => extend_turn.lease_seconds),
        tokens = v_asked.tokens,
        draft = v_draft,
        draft_parts = v_draft_parts
    where t.user_id = extend_turn.user_id and t.id = v_turn.id;

    return jsonb_build_object(
        'turn_id', v_turn.id,
        'is_ours', true,
        'cancel_requested', v_turn.cancel_requested_at is not null,
        'conversation_id', v_turn.conversation_id,
        'draft_length', char_length(v_draft),
        'parts_version', case
            when v_asked.parts_version is not null then private.draft_version(v_draft_parts)
        end
    );
end;
$$;

grant execute on function private.extend_turn to service_role;
comment on function private.extend_turn is 'Renews the lease of a turn and writes what is new of its draft, as extend_turns says of each; null if somebody holds it.';

-- One call for all the turns that a process runs, so that hundreds of open streams cost the store one
-- call a second. The one function that touches several users in one transaction, therefore; each of its
-- statements touches one. That it also counts the running turns of all users lets processes that know
-- nothing of each other share what the project carries; the index of running turns has no other rows.
create function public.extend_turns(extensions jsonb, lease_seconds integer)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
declare
    v_extension jsonb;
    v_turns jsonb[] := '{}';
begin
    for v_extension in select * from jsonb_array_elements(extensions)
    loop
        v_turns := v_turns || private.extend_turn(
            (v_extension ->> 'user_id')::uuid, v_extension, lease_seconds
        );
    end loop;

    return jsonb_build_object(
        'turns', array_to_json(array_remove(v_turns, null)),
        'running', (
            select count(*)
            from public.turns as t
            where t.status = 'running' and t.lease_expires_at > clock_timestamp()
        )
    );
end;
$$;

revoke all on function public.extend_turns from public, anon, authenticated, service_role;
grant execute on function public.extend_turns to service_role;
comment on function public.extend_turns is 'The heartbeat of a process: for each of [{user_id, turn_id, attempt, draft_offset, draft_tail, draft_parts, parts_version, tokens}] renews the lease and writes the draft from an offset on (in characters), those of its parts that have changed, and the tokens so far; with a parts_version only if the draft is at it. Answers {turns: [{turn_id, is_ours, cancel_requested, conversation_id, draft_length, parts_version}], running}; a turn that is locked is left out, and running is how many turns of all users have a worker.';

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
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now()
    );
end;
$$;

revoke all on function public.load_turn from public, anon, authenticated, service_role;
grant execute on function public.load_turn to authenticated, service_role;
comment on function public.load_turn is 'A turn with its messages and its draft, as its owner sees it. Raises PT403, PT404.';

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
