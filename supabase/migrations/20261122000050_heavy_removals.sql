-- Removals that end, however much there is to remove; and rows that stop nobody else's work.
-- All replaced functions keep their grants and comments.

-- Each message takes checks of its own to remove: two hundred thousand need longer than a signed-in
-- user's statement may on a hosted project. The Data API takes the limit from here.
alter function public.delete_conversation(uuid) set statement_timeout = '10min';

-- By day, in which the events are kept, and not beyond the life of what is removed. And a limit on
-- time that is met here is no reason not to remove, either.
create or replace function public.forget_events()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from realtime.messages as m
    using removed as r
    where m.topic = 'conversation:' || r.id
      and m.inserted_at >= greatest(r.created_at, now() - interval '4 days') at time zone 'utc';

    return null;
exception
    when query_canceled or others then
        raise warning 'live events of deleted conversations are left to Realtime: %', sqlstate;
        return null;
end;
$$;

-- As before, but that a batch is bounded in messages too: one that takes longer than its caller
-- waits would be undone whole, and be the first again the next time.
create or replace function public.apply_retention(
    dry_run boolean default true,
    most integer default 500,
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '10min'
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_now constant timestamptz := now();
    v_found integer;
    v_chosen uuid[];
    v_tried integer;
    v_archive uuid[];
    v_delete uuid[];
    v_removed jsonb;
begin
    select count(*),
           coalesce(
               array_agg(d.conversation_id) filter (where d.place <= most and d.ahead < c_messages),
               '{}'
           )
    into v_found, v_chosen
    from (
        select due.conversation_id,
               due.place,
               coalesce(sum(c.last_seq) filter (where due.action = 'delete') over (
                   order by due.place rows between unbounded preceding and 1 preceding
               ), 0) as ahead
        from public.retention_due(
            v_now, most + 1, apply_retention.user_id, apply_retention.project_id
        ) with ordinality as due (conversation_id, action, place)
        join public.conversations as c on c.id = due.conversation_id
    ) as d;

    v_tried := cardinality(v_chosen);

    if not dry_run then
        -- What somebody is writing to is in use: it is left for the next time.
        select coalesce(array_agg(locked.id), '{}')
        into v_chosen
        from (
            select c.id
            from public.conversations as c
            where c.id = any(v_chosen)
            order by c.id
            for update skip locked
        ) as locked;
    end if;

    -- Asked again, since only under the lock nobody writes, restores or places a hold any more.
    select
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'archive'), '{}'),
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'delete'), '{}')
    into v_archive, v_delete
    from public.retention_due(
        v_now, most, apply_retention.user_id, apply_retention.project_id, v_chosen
    ) as d;

    select jsonb_build_object(
        'conversations', cardinality(v_delete),
        'messages', (select count(*) from public.messages as m where m.conversation_id = any(v_delete)),
        'turns', (select count(*) from public.turns as t where t.conversation_id = any(v_delete))
    )
    into v_removed;

    if not dry_run then
        update public.conversations as c
        set archived_at = v_now
        where c.id = any(v_archive);

        delete from public.conversations as c
        where c.id = any(v_delete);
    end if;

    return jsonb_build_object(
        'dry_run', dry_run,
        'archived', cardinality(v_archive),
        'deleted', v_removed,
        'skipped', v_tried - cardinality(v_archive) - cardinality(v_delete),
        'more', v_found > v_tried
    );
end;
$$;

-- As before, but for the bound.
create or replace function public.erase_account(
    user_id uuid,
    idempotency_key text,
    requested_by text default 'service',
    most integer default 500
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '10min'
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_receipt public.erasure_receipts;
    v_parts bigint;
    v_chosen uuid[];
    v_left bigint;
    v_held bigint;
begin
    insert into public.erasure_receipts (user_id, idempotency_key, requested_by)
    values (erase_account.user_id, erase_account.idempotency_key, erase_account.requested_by)
    on conflict on constraint erasure_receipts_user_id_idempotency_key_key do nothing;

    -- Callers with one key queue here.
    select r.* into v_receipt
    from public.erasure_receipts as r
    where r.user_id = erase_account.user_id
      and r.idempotency_key = erase_account.idempotency_key
    for update;

    if v_receipt.erased_at is not null then
        return to_jsonb(v_receipt) || jsonb_build_object('remaining', 0);
    end if;

    if public.is_held(null, user_id) then
        raise exception 'A legal hold keeps this user''s conversations.'
            using errcode = 'PT409', detail = 'legal_hold';
    end if;

    -- First, since this waits for an import that is being committed: what it made is found below.
    -- One that has yet to be committed finds its parts gone.
    delete from public.import_parts as p where p.user_id = erase_account.user_id;
    get diagnostics v_parts = row_count;

    select coalesce(array_agg(w.id), '{}')
    into v_chosen
    from (
        select c.id, sum(c.last_seq) over (order by c.id) - c.last_seq as ahead
        from (
            select o.id, o.last_seq
            from public.conversations as o
            where o.user_id = erase_account.user_id
              and not public.is_held(o.id, o.user_id)
            order by o.id
            limit most
        ) as c
    ) as w
    where w.ahead < c_messages;

    perform 1
    from public.conversations as c
    where c.id = any(v_chosen)
    order by c.id
    for update;

    -- Under the lock nobody adds a message or places a hold any more; one that came before counts.
    select coalesce(array_agg(id), '{}')
    into v_chosen
    from unnest(v_chosen) as id
    where not public.is_held(id, erase_account.user_id);

    update public.erasure_receipts as r
    set conversations = r.conversations + (
            select count(*) from public.conversations as c where c.id = any(v_chosen)
        ),
        messages = r.messages + (
            select count(*) from public.messages as m where m.conversation_id = any(v_chosen)
        ),
        turns = r.turns + (
            select count(*) from public.turns as t where t.conversation_id = any(v_chosen)
        ),
        summaries = r.summaries + (
            select count(*) from public.summaries as s where s.conversation_id = any(v_chosen)
        ),
        import_parts = r.import_parts + v_parts
    where r.id = v_receipt.id;

    delete from public.conversations as c
    where c.id = any(v_chosen);

    select
        count(*) filter (where not is_held),
        count(*) filter (where is_held)
    into v_left, v_held
    from (
        select public.is_held(c.id, c.user_id) as is_held
        from public.conversations as c
        where c.user_id = erase_account.user_id
    ) as kept;

    update public.erasure_receipts as r
    set held = v_held,
        erased_at = case when v_left = 0 then clock_timestamp() end
    where r.id = v_receipt.id
    returning r.* into v_receipt;

    return to_jsonb(v_receipt) || jsonb_build_object('remaining', v_left);
end;
$$;

-- A check is asked of the whole row at each change, whatever is changed: a conversation whose
-- metadata was too deep before there was a check could take no message any more, and one such row
-- stopped retention for everybody. Who writes metadata is asked, and nobody else.
alter table public.conversations drop constraint conversations_metadata_depth;
alter table public.messages drop constraint messages_metadata_depth;

create function public.refuse_depth()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
    raise exception 'Metadata nests too deep.' using errcode = '23514';
end;
$$;

revoke all on function public.refuse_depth() from public, anon, authenticated, service_role;
comment on function public.refuse_depth() is
    'Raises 23514: metadata nests deeper than readers of JSON follow.';

create trigger conversations_refuse_depth
    before insert or update of metadata on public.conversations
    for each row
    when (jsonb_path_exists(new.metadata, 'strict $.**{128}'))
    execute function public.refuse_depth();

create trigger messages_refuse_depth
    before insert or update of metadata on public.messages
    for each row
    when (jsonb_path_exists(new.metadata, 'strict $.**{128}'))
    execute function public.refuse_depth();

-- Nothing was archived in the future, nor at a moment that no calendar has: an export could not say
-- when it was, nor an import take it. Such a moment becomes that of the change.
create function public.bound_archived_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
    new.archived_at := now();
    return new;
end;
$$;

revoke all on function public.bound_archived_at() from public, anon, authenticated, service_role;
comment on function public.bound_archived_at() is
    'Puts now in the place of a moment in the future, or of one that is none.';

create trigger conversations_bound_archived_at
    before insert or update of archived_at on public.conversations
    for each row
    when (new.archived_at > now() or new.archived_at < '0001-01-01 00:00:00+00')
    execute function public.bound_archived_at();

update public.conversations
set archived_at = now()
where archived_at > now()
   or archived_at < '0001-01-01 00:00:00+00';

-- As before, but that one turn which can't be settled leaves the others to be, that a sweep ends
-- before its caller does, and that turns which no limit looks back to are forgotten.
create or replace function public.sweep_turns(most integer default 1000)
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

    perform public.forget_deleted_turns();
    return jsonb_build_object('settled', v_settled);
end;
$$;

-- As before, but that a beat which is late never shortens a draft, nor leaves a hole in it.
create or replace function public.extend_turns(beats jsonb, lease_seconds integer)
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
