-- One heartbeat for all the turns that a process runs, so that hundreds of open streams cost the
-- store one call a second. extend_turn stays for bundles that were deployed before.

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
                when b.draft_tail = '' then t.draft
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

revoke all on function public.extend_turns(jsonb, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.extend_turns(jsonb, integer) to service_role;
comment on function public.extend_turns(jsonb, integer) is
    'The heartbeat of a process: for each of beats [{turn_id, attempt, draft_offset, draft_tail}] renews the lease and writes the draft from an offset on (in characters). Answers {turns: [{turn_id, is_ours, cancel_requested}]}; a turn that is locked is left out.';
