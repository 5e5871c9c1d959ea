-- A limit on turns counts those whose conversation is gone as well: else whoever deletes as they go
-- would have none. What is kept of such a turn is when it began, and for a day, which is as long as
-- the longest limit looks back.
create table public.deleted_turns (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    started_at timestamptz not null,

    constraint deleted_turns_pkey primary key (id),
    constraint deleted_turns_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

create index idx_deleted_turns_user_id on public.deleted_turns (user_id, started_at);

create index idx_deleted_turns_started_at on public.deleted_turns (started_at);

alter table public.deleted_turns enable row level security;

create policy withheld on public.deleted_turns
    for select
    to authenticated
    using (false);

-- Withheld from clients: everything. Withheld from the service: all but reading.
revoke all on table public.deleted_turns from public, anon, authenticated, service_role;
grant select on table public.deleted_turns to service_role;

comment on table public.deleted_turns is
    'When turns began whose rows are not there, for a day: those of deleted conversations, and those that were never stored. What the limits of turns count beside the rows that are there. No policy for insert, update, delete: a trigger and count_unstored_turn alone write it, and what is older is removed.';

create function public.forget_deleted_turns()
returns void
language sql
volatile
security definer
set search_path = ''
as $$
    -- A few at a time, and none that another deletion is removing.
    delete from public.deleted_turns
    where id in (
        select d.id
        from public.deleted_turns as d
        where d.started_at <= now() - interval '1 day'
        limit 1000
        for update skip locked
    );
$$;

revoke all on function public.forget_deleted_turns()
    from public, anon, authenticated, service_role;
grant execute on function public.forget_deleted_turns() to service_role;
comment on function public.forget_deleted_turns() is
    'Forgets turns of deleted conversations that began more than a day ago.';

create function public.note_deleted_turns()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.deleted_turns (user_id, started_at)
    select r.user_id, r.started_at
    from removed as r
    join auth.users as u on u.id = r.user_id -- of an account that is being deleted, nothing stays
    where r.started_at > now() - interval '1 day';

    perform public.forget_deleted_turns();
    return null;
end;
$$;

revoke all on function public.note_deleted_turns() from public, anon, authenticated, service_role;
comment on function public.note_deleted_turns() is
    'Keeps for a day when turns began whose conversation is deleted.';

create trigger turns_note_deleted
    after delete on public.turns
    referencing old table as removed
    for each statement
    execute function public.note_deleted_turns();

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
        select begun.started_at + v_limit.period into v_next
        from (
            select t.started_at
            from public.turns as t
            where t.user_id = require_turns_left.user_id
              and t.started_at > now() - v_limit.period
            union all
            select d.started_at
            from public.deleted_turns as d
            where d.user_id = require_turns_left.user_id
              and d.started_at > now() - v_limit.period
        ) as begun
        order by begun.started_at desc
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

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.count_unstored_turn(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
    -- Locks the user's limits until the end: of two requests at once, one takes the last place.
    perform public.require_turns_left(
        count_unstored_turn.user_id,
        count_unstored_turn.turns_per_minute,
        count_unstored_turn.turns_per_day
    );

    insert into public.deleted_turns (user_id, started_at)
    values (count_unstored_turn.user_id, now());

    perform public.forget_deleted_turns(); -- those who ask for nothing to be stored may never delete
    return jsonb_build_object('is_counted', true);
end;
$$;

revoke all on function public.count_unstored_turn(uuid, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.count_unstored_turn(uuid, integer, integer) to service_role;
comment on function public.count_unstored_turn(uuid, integer, integer) is
    'Counts a turn of which nothing is stored towards its user''s limits. Answers {is_counted}. Raises PT429 where none is left.';
