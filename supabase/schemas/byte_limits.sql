-- What a user may write in a day, over the functions and over the Data API alike: so the number stands
-- here, where both end, and not with who calls. It is off unless the bundle was started with one.

create table private.limits (
    id boolean not null default true,
    bytes_per_day bigint,

    constraint limits_pkey primary key (id),
    constraint limits_one_row check (id),
    constraint limits_bytes_per_day_positive check (bytes_per_day > 0)
);

alter table private.limits enable row level security;

create policy withheld on private.limits for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: delete.
revoke all on table private.limits from public, anon, authenticated, service_role;
grant select, insert, update on table private.limits to service_role;

comment on table private.limits is 'One row, of what holds for each user over every API; none, or null in it, is no limit. No policy for select, insert, update, delete: set_limits alone writes it.';

create function public.set_limits(bytes_per_day bigint default null)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_bytes_per_day constant bigint := nullif(set_limits.bytes_per_day, 0);
begin
    -- Each process says it when it starts, and seldom says anything new.
    if (select l.bytes_per_day from private.limits as l) is distinct from v_bytes_per_day then
        insert into private.limits (bytes_per_day)
        values (v_bytes_per_day)
        on conflict (id) do update set bytes_per_day = excluded.bytes_per_day;
    end if;

    return jsonb_build_object('bytes_per_day', v_bytes_per_day);
end;
$$;

revoke all on function public.set_limits from public, anon, authenticated, service_role;
grant execute on function public.set_limits to service_role;
comment on function public.set_limits is 'Sets how many bytes each user may write in a day; null or 0 is any number. Answers {bytes_per_day}.';

-- A bucket that leaks evenly, empty after a day: one row a user, however much they write.
create table private.bytes_written (
    user_id uuid not null,
    bytes double precision not null,
    counted_at timestamptz not null,

    constraint bytes_written_pkey primary key (user_id),
    constraint bytes_written_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

alter table private.bytes_written enable row level security;

create policy withheld on private.bytes_written for select to authenticated using (false);

-- Withheld: everything, from everybody.
revoke all on table private.bytes_written from public, anon, authenticated, service_role;

comment on table private.bytes_written is 'How much each user has written lately, where that is limited. No policy for select, insert, update, delete: count_bytes alone uses it.';
comment on column private.bytes_written.bytes is 'As of counted_at; a day''s limit fewer with each day since.';

create function private.count_bytes(user_id uuid, size bigint, bytes_per_day bigint)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_day constant double precision := 86400;
    v_now constant timestamptz := clock_timestamp();
    v_bytes double precision;
begin
    insert into private.bytes_written as w (user_id, bytes, counted_at)
    values (count_bytes.user_id, count_bytes.size, v_now)
    on conflict (user_id) do update
        set bytes = excluded.bytes + greatest(
                0,
                w.bytes
                - greatest(0, extract(epoch from v_now - w.counted_at)::double precision)
                * count_bytes.bytes_per_day / c_day
            ),
            counted_at = v_now
    returning w.bytes into v_bytes;

    if v_bytes > count_bytes.bytes_per_day then
        raise exception 'Too many bytes written this day. Try again in % seconds.',
            ceil(least(
                c_day, (v_bytes - count_bytes.bytes_per_day) * c_day / count_bytes.bytes_per_day
            ))
            using errcode = 'PT429', detail = 'too_many_bytes';
    end if;
end;
$$;

comment on function private.count_bytes is 'Counts what a user writes. Raises PT429 where it is more than a day allows; then nothing is counted.';

-- Runs as its owner, because nobody may write what limits count. What the AI writes isn't the user's:
-- turns and tokens limit that. Messages are counted where they get their places.
create function private.count_conversation_bytes()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    v_bytes_per_day constant bigint := (select l.bytes_per_day from private.limits as l);
begin
    if v_bytes_per_day is not null then
        perform private.count_bytes(
            new.user_id, octet_length(new.title) + octet_length(new.metadata::text), v_bytes_per_day
        );
    end if;
    return new;
end;
$$;

comment on function private.count_conversation_bytes is 'Counts a title and metadata towards what their user may write in a day.';

create trigger conversations_count_bytes
    before insert or update of title, metadata on public.conversations
    for each row
    when (current_user = 'authenticated')
    execute function private.count_conversation_bytes();

create function private.count_import_bytes(user_id uuid, pieces jsonb)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    v_bytes_per_day constant bigint := (select l.bytes_per_day from private.limits as l);
begin
    if v_bytes_per_day is not null then
        perform private.count_bytes(user_id, octet_length(pieces::text), v_bytes_per_day);
    end if;
end;
$$;

comment on function private.count_import_bytes is 'Counts a part of a file towards what its user may write in a day.';
