-- What a limit on turns counts beside the rows of turns: those whose conversation is gone, else
-- whoever deletes as they go would have no limit, and those that store nothing. What is kept of such
-- a turn is when it began, and for a day, which is as long as the longest limit looks back.
create table private.turn_usage (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    started_at timestamptz not null,

    constraint turn_usage_pkey primary key (id),
    constraint turn_usage_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

create index idx_turn_usage_user_id on private.turn_usage (user_id, started_at);

create index idx_turn_usage_started_at on private.turn_usage (started_at);

alter table private.turn_usage enable row level security;

create policy withheld on private.turn_usage for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: all but reading.
revoke all on table private.turn_usage from public, anon, authenticated, service_role;
grant select on table private.turn_usage to service_role;

comment on table private.turn_usage is
    'When turns began that have no row in turns, for a day: those of deleted conversations, and those that store nothing. No policy for select, insert, update, delete: a trigger and count_unstored_turn alone write it.';

create function private.forget_turn_usage()
returns void
language sql
volatile
security definer
set search_path = ''
as $$
    -- A few at a time, and none that another deletion is removing.
    delete from private.turn_usage
    where id in (
        select d.id
        from private.turn_usage as d
        where d.started_at <= now() - interval '1 day'
        limit 1000
        for update skip locked
    );
$$;

revoke all on function private.forget_turn_usage from public, anon, authenticated, service_role;
grant execute on function private.forget_turn_usage to service_role;
comment on function private.forget_turn_usage is 'Removes what no limit looks back to any more.';

create function private.note_turn_usage()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.turn_usage (user_id, started_at)
    select r.user_id, r.started_at
    from removed as r
    join auth.users as u on u.id = r.user_id -- of an account that is being deleted, nothing stays
    where r.started_at > now() - interval '1 day';

    perform private.forget_turn_usage();
    return null;
end;
$$;

revoke all on function private.note_turn_usage from public, anon, authenticated, service_role;
comment on function private.note_turn_usage is
    'Keeps for a day when turns began whose conversation is deleted.';

create trigger turns_note_usage
    after delete on public.turns
    referencing old table as removed
    for each statement
    execute function private.note_turn_usage();

create function private.require_turns_left(
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
            from private.turn_usage as d
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

revoke all on function private.require_turns_left from public, anon, authenticated, service_role;
grant execute on function private.require_turns_left to service_role;
comment on function private.require_turns_left is
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
    perform private.require_turns_left(
        count_unstored_turn.user_id,
        count_unstored_turn.turns_per_minute,
        count_unstored_turn.turns_per_day
    );

    insert into private.turn_usage (user_id, started_at)
    values (count_unstored_turn.user_id, now());

    perform private.forget_turn_usage(); -- those who ask for nothing to be stored may never delete
    return jsonb_build_object('is_counted', true);
end;
$$;

revoke all on function public.count_unstored_turn from public, anon, authenticated, service_role;
grant execute on function public.count_unstored_turn to service_role;
comment on function public.count_unstored_turn is
    'Counts a turn of which nothing is stored towards its user''s limits. Answers {is_counted}. Raises PT429 where none is left.';
