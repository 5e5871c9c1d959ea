-- A turn while it runs: it shows how far it is, it can be stopped, and it ends even if its worker
-- does not.

create function public.extend_turn(
    turn_id uuid,
    attempt integer,
    lease_seconds integer,
    draft_offset integer default 0,
    draft_tail text default ''
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_answer jsonb;
begin
    update public.turns
    set lease_expires_at = clock_timestamp() + make_interval(secs => extend_turn.lease_seconds),
        draft = case
            when extend_turn.draft_tail = '' then draft
            else left(draft, extend_turn.draft_offset) || extend_turn.draft_tail
        end
    where id = extend_turn.turn_id
      and attempt = extend_turn.attempt
      and status = 'running'
    returning jsonb_build_object(
        'is_ours', true, 'cancel_requested', cancel_requested_at is not null
    )
    into v_answer;

    return coalesce(v_answer, jsonb_build_object('is_ours', false, 'cancel_requested', false));
end;
$$;

revoke all on function public.extend_turn(uuid, integer, integer, integer, text)
    from public, anon, authenticated, service_role;
grant execute on function public.extend_turn(uuid, integer, integer, integer, text) to service_role;
comment on function public.extend_turn(uuid, integer, integer, integer, text) is
    'A worker''s heartbeat: renews the lease, writes the draft from an offset on (in characters), and tells whether to stop.';

create function public.load_turn(turn_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    select t.* into v_turn from public.turns as t where t.id = load_turn.turn_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    return public.describe_turn(
        v_turn.id, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    ) || jsonb_build_object(
        'draft', v_turn.draft,
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now()
    );
end;
$$;

revoke all on function public.load_turn(uuid) from public, anon, authenticated, service_role;
grant execute on function public.load_turn(uuid) to authenticated, service_role;
comment on function public.load_turn(uuid) is
    'A turn with its messages and its draft, as its owner sees it. Raises PT404.';

-- load_turn runs as the caller, and so does what it calls.
grant execute on function public.describe_turn(uuid, text, integer) to authenticated;

create function public.settle_expired_turn(conversation_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn_id uuid;
begin
    -- Whoever holds the conversation is writing to it: then there is nothing to clean up yet.
    perform 1
    from public.conversations as c
    where c.id = settle_expired_turn.conversation_id
    for update skip locked;

    if not found then
        return jsonb_build_object('settled', 0);
    end if;

    select t.id into v_turn_id
    from public.turns as t
    where t.conversation_id = settle_expired_turn.conversation_id
      and t.status = 'running'
      and t.lease_expires_at <= clock_timestamp();

    if not found then
        return jsonb_build_object('settled', 0);
    end if;

    perform public.interrupt_turn(v_turn_id);
    return jsonb_build_object('settled', 1);
end;
$$;

revoke all on function public.settle_expired_turn(uuid) from public, anon, authenticated, service_role;
grant execute on function public.settle_expired_turn(uuid) to service_role;
comment on function public.settle_expired_turn(uuid) is
    'Settles a conversation''s running turn if its lease is over.';

create function public.sweep_turns(most integer default 1000)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_conversation_id uuid;
    v_settled integer := 0;
begin
    for v_conversation_id in
        select t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at <= clock_timestamp()
        order by t.lease_expires_at
        limit sweep_turns.most
    loop
        v_settled := v_settled
            + (public.settle_expired_turn(v_conversation_id) ->> 'settled')::integer;
    end loop;
    return jsonb_build_object('settled', v_settled);
end;
$$;

revoke all on function public.sweep_turns(integer) from public, anon, authenticated, service_role;
grant execute on function public.sweep_turns(integer) to service_role;
comment on function public.sweep_turns(integer) is
    'Settles every turn whose worker is gone. Run each minute by pg_cron where it exists, else by calling sweep-turns.';

create function public.cancel_turn(turn_id uuid, user_id uuid default null)
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
    where c.id = (select t.conversation_id from public.turns as t where t.id = cancel_turn.turn_id)
    for update;

    update public.turns as t
    set cancel_requested_at = case
        when t.status = 'running' then coalesce(t.cancel_requested_at, clock_timestamp())
        else t.cancel_requested_at
    end
    where t.id = cancel_turn.turn_id
      and (cancel_turn.user_id is null or t.user_id = cancel_turn.user_id)
    returning t.* into v_turn;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    if v_turn.status = 'running' and v_turn.lease_expires_at <= clock_timestamp() then
        perform public.interrupt_turn(v_turn.id);
        return public.describe_turn(v_turn.id, 'replayed');
    end if;
    return public.describe_turn(
        v_turn.id, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    );
end;
$$;

revoke all on function public.cancel_turn(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancel_turn(uuid, uuid) to service_role;
comment on function public.cancel_turn(uuid, uuid) is
    'Asks a running turn to stop, for good; one without a worker is settled at once. A settled turn stays as it is. Raises PT404.';

do $$
begin
    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        perform cron.schedule('sweep-turns', '* * * * *', 'select public.sweep_turns()');
    end if;
end;
$$;
