-- What turns leave behind beside their rows: keys that outlive a deleted conversation, so that a late
-- retry brings nothing back, and moments that a limit counts, else whoever deletes as they go, or has
-- nothing stored, would have no limit.
create table private.turn_usage (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    key_hash bytea,
    started_at timestamptz not null,
    tokens bigint not null default 0,

    constraint turn_usage_pkey primary key (id),
    constraint turn_usage_user_id_key_hash_key unique (user_id, key_hash),
    constraint turn_usage_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

create index idx_turn_usage_user_id on private.turn_usage (user_id, started_at);

alter table private.turn_usage enable row level security;

create policy withheld on private.turn_usage for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: all but reading.
revoke all on table private.turn_usage from public, anon, authenticated, service_role;
grant select on table private.turn_usage to service_role;

comment on table private.turn_usage is 'Turns that have no row in turns: those of deleted conversations, for as long as the account exists, and those that store nothing, for a day and until the next one. No policy for select, insert, update, delete: a trigger, count_unstored_turn and add_tokens alone write it.';
comment on column private.turn_usage.id is 'The turn''s own, where it had a row.';
comment on column private.turn_usage.key_hash is 'SHA-256 of a turn''s idempotency key; null for a turn that stored nothing.';

create function private.note_turn_usage()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into private.turn_usage (id, user_id, key_hash, started_at, tokens)
    select r.id, r.user_id, sha256(convert_to(r.idempotency_key, 'utf8')), r.started_at, r.tokens
    from removed as r
    join auth.users as u on u.id = r.user_id -- of an account that is being deleted, nothing stays
    for key share of u nowait -- whoever deletes an account waits for its conversations
    on conflict (user_id, key_hash) do nothing;

    return null;
end;
$$;

comment on function private.note_turn_usage is 'Keeps the keys of turns whose conversation is deleted, when they began and what they took.';

create trigger turns_note_usage
    after delete on public.turns
    referencing old table as removed
    for each statement
    execute function private.note_turn_usage();

-- Runs as its owner, because nobody may write what limits count.
create function private.require_turns_left(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer,
    tokens_per_day bigint
)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_limit record;
    v_now timestamptz;
    v_next timestamptz;
begin
    if num_nonnulls(turns_per_minute, turns_per_day, tokens_per_day) = 0 then
        return;
    end if;

    -- Whoever begins a turn holds the user's row: two at once can't both take the last place.
    insert into private.bytes_written (user_id, bytes, counted_at)
    values (require_turns_left.user_id, 0, now())
    on conflict (user_id) do nothing;

    perform 1
    from private.bytes_written as w
    where w.user_id = require_turns_left.user_id
    for update;

    -- Under the lock: whatever began in the future did so before the clock was set back.
    v_now := clock_timestamp();
    for v_limit in
        select *
        from (values
            (turns_per_minute + 1::bigint, interval '1 minute', 'minute', 'turns'),
            (turns_per_day + 1::bigint, interval '1 day', 'day', 'turns'),
            (tokens_per_day, interval '1 day', 'day', 'tokens')
        ) as limits (least_refused, period, name, counted)
        where least_refused is not null
    loop
        -- When this one leaves the period, those since are fewer.
        select spent.started_at + v_limit.period into v_next
        from (
            select begun.started_at,
                   sum(case v_limit.counted when 'tokens' then begun.tokens else 1 end)
                       over (order by begun.started_at desc) as so_far
            from (
                select t.started_at, t.tokens
                from public.turns as t
                where t.user_id = require_turns_left.user_id
                  and t.started_at > v_now - v_limit.period and t.started_at <= v_now
                union all
                select u.started_at, u.tokens
                from private.turn_usage as u
                where u.user_id = require_turns_left.user_id
                  and u.started_at > v_now - v_limit.period and u.started_at <= v_now
            ) as begun
        ) as spent
        where spent.so_far >= v_limit.least_refused
        order by spent.started_at desc
        limit 1;

        if found and v_limit.counted = 'turns' then
            raise exception 'Too many turns this %. Try again in % seconds.',
                v_limit.name, greatest(1, ceil(extract(epoch from v_next - v_now)))
                using errcode = 'PT429', detail = 'too_many_turns';
        elsif found then
            raise exception 'Too many tokens this day. Try again in % seconds.',
                greatest(1, ceil(extract(epoch from v_next - v_now)))
                using errcode = 'PT429', detail = 'too_many_tokens';
        end if;
    end loop;
end;
$$;

grant execute on function private.require_turns_left to service_role;
comment on function private.require_turns_left is 'Raises PT429 where the turn that this transaction has begun is one more than a minute or a day allows, or where a day''s tokens are spent; null is no limit. Locks the user''s limits until the end.';

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.count_unstored_turn(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer,
    tokens_per_day bigint
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_id uuid;
begin
    -- What no limit looks back to any more.
    delete from private.turn_usage as u
    where u.user_id = count_unstored_turn.user_id
      and u.key_hash is null
      and u.started_at <= now() - interval '1 day';

    insert into private.turn_usage (user_id, started_at)
    values (count_unstored_turn.user_id, now())
    returning id into v_id;

    perform private.require_turns_left(user_id, turns_per_minute, turns_per_day, tokens_per_day);
    return jsonb_build_object('id', v_id);
end;
$$;

revoke all on function public.count_unstored_turn from public, anon, authenticated, service_role;
grant execute on function public.count_unstored_turn to service_role;
comment on function public.count_unstored_turn is 'Counts a turn of which nothing is stored towards its user''s limits. Answers {id}, by which add_tokens knows it. Raises PT429 where none is left.';

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.add_tokens(user_id uuid, turn_id uuid, tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
begin
    update public.turns as t
    set tokens = t.tokens + add_tokens.tokens
    where t.user_id = add_tokens.user_id and t.id = add_tokens.turn_id;

    if not found then
        update private.turn_usage as u
        set tokens = u.tokens + add_tokens.tokens
        where u.user_id = add_tokens.user_id and u.id = add_tokens.turn_id;
    end if;
    return jsonb_build_object('is_counted', found);
end;
$$;

revoke all on function public.add_tokens from public, anon, authenticated, service_role;
grant execute on function public.add_tokens to service_role;
comment on function public.add_tokens is 'Counts tokens towards a turn that is settled, deleted, or was never stored. Answers {is_counted}: false where nothing is known of it, as with the account.';
