-- A turn while it runs: it shows how far it is, it can be stopped, and it ends even if its worker
-- does not.

-- One call for all the turns that a process runs, so that hundreds of open streams cost the store one
-- call a second. A heartbeat that is late never shortens a draft, nor leaves a hole in it.
create function public.extend_turns(beats jsonb, lease_seconds integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
    with beats as (
        select b.turn_id, b.attempt, b.draft_offset, b.draft_tail
        from jsonb_to_recordset(extend_turns.beats)
            as b (turn_id uuid, attempt integer, draft_offset integer, draft_tail text)
    ),

    -- A turn that somebody holds is being settled or stopped: it waits for the next heartbeat,
    -- so that no other turn waits for it.
    free as (
        select t.id
        from public.turns as t
        join beats as b on b.turn_id = t.id
        order by t.id
        for update of t skip locked
    ),

    extended as (
        update public.turns as t
        set lease_expires_at = clock_timestamp()
                + make_interval(secs => extend_turns.lease_seconds),
            draft = case
                when char_length(t.draft)
                    not between b.draft_offset and b.draft_offset + char_length(b.draft_tail) - 1
                    then t.draft
                else left(t.draft, b.draft_offset) || b.draft_tail
            end
        from beats as b
        join free as f on f.id = b.turn_id
        where t.id = b.turn_id
          and t.attempt = b.attempt
          and t.status = 'running'
        returning t.id, t.cancel_requested_at is not null as cancel_requested
    )

    select jsonb_build_object(
        'turns', coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'turn_id', b.turn_id,
                    'is_ours', e.id is not null,
                    'cancel_requested', coalesce(e.cancel_requested, false)
                )
            ),
            '[]'
        )
    )
    from beats as b
    left join extended as e on e.id = b.turn_id
    where e.id is not null
       or not exists (
           select 1
           from public.turns as t
           where t.id = b.turn_id
             and t.attempt = b.attempt
             and t.status = 'running'
       );
$$;

revoke all on function public.extend_turns from public, anon, authenticated, service_role;
grant execute on function public.extend_turns to service_role;
comment on function public.extend_turns is
    'The heartbeat of a process: for each of beats [{turn_id, attempt, draft_offset, draft_tail}] renews the lease and writes the draft from an offset on (in characters). Answers {turns: [{turn_id, is_ours, cancel_requested}]}; a turn that is locked is left out.';

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

    return private.describe_turn(
        v_turn.id, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    ) || jsonb_build_object(
        'draft', v_turn.draft,
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now()
    );
end;
$$;

revoke all on function public.load_turn from public, anon, authenticated, service_role;
grant execute on function public.load_turn to authenticated, service_role;
comment on function public.load_turn is
    'A turn with its messages and its draft, as its owner sees it. Raises PT404.';

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
        perform private.interrupt_turn(v_turn.id);
        return private.describe_turn(v_turn.id, 'replayed');
    end if;
    return private.describe_turn(
        v_turn.id, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    );
end;
$$;

revoke all on function public.cancel_turn from public, anon, authenticated, service_role;
grant execute on function public.cancel_turn to service_role;
comment on function public.cancel_turn is
    'Asks a running turn to stop, for good; one without a worker is settled at once. A settled turn stays as it is. Raises PT404.';

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

    perform private.interrupt_turn(v_turn_id);
    return jsonb_build_object('settled', 1);
end;
$$;

revoke all on function public.settle_expired_turn from public, anon, authenticated, service_role;
grant execute on function public.settle_expired_turn to service_role;
comment on function public.settle_expired_turn is
    'Settles a conversation''s running turn if its lease is over.';

-- One turn that can't be settled keeps no other from being settled, and a sweep ends before its
-- caller does.
create function public.sweep_turns(most integer default 1000)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    c_time constant interval := '3 seconds';
    v_started constant timestamptz := clock_timestamp();
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
        exit when clock_timestamp() > v_started + c_time;
        begin
            v_settled := v_settled
                + (public.settle_expired_turn(v_conversation_id) ->> 'settled')::integer;
        exception
            when others then
                raise warning 'the turn of conversation % is left to the doctor: %',
                    v_conversation_id, sqlerrm;
        end;
    end loop;

    perform private.forget_turn_usage();
    return jsonb_build_object('settled', v_settled);
end;
$$;

revoke all on function public.sweep_turns from public, anon, authenticated, service_role;
grant execute on function public.sweep_turns to service_role;
comment on function public.sweep_turns is
    'Settles every turn whose worker is gone. Run each minute by pg_cron where it exists, else by calling sweep-turns.';
