-- Imports: a file is taken in parts, each by one call that takes some seconds at most and can be
-- repeated: what came of a part is written down with it. A conversation is there whole or not at
-- all: one that needs several parts is hidden until its last one. What was imported, from where and
-- when stands in conversations.imported, which nobody else writes: an imported reply can't be passed
-- off as one of ours.

create table private.import_parts (
    user_id uuid not null,
    import_id uuid not null,
    part integer not null,
    outcome jsonb, -- null while it is being taken
    is_over boolean not null default false, -- the last part; the same file is another import then
    taken_at timestamptz not null default now(),

    constraint import_parts_pkey primary key (user_id, import_id, part),
    constraint import_parts_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint import_parts_outcome_array check (jsonb_typeof(outcome) = 'array')
);

alter table private.import_parts enable row level security;

-- Written out, so that it isn't taken for one that was forgotten.
create policy withheld on private.import_parts for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: insert, update; take_import_part,
-- which runs as its owner, alone writes them.
revoke all on table private.import_parts from public, anon, authenticated, service_role;
grant select, delete on table private.import_parts to service_role;

comment on table private.import_parts is 'What came of the parts of files that are being imported: ids and counts, nothing of their content; gone an hour after the last of them. No policy for select, insert, update, delete: take_import_part alone writes them.';

-- Under which idempotency keys something was imported: a request that is sent again after its
-- conversations were deleted brings none of them back.
create table private.import_keys (
    user_id uuid not null,
    key_hash bytea not null,

    constraint import_keys_pkey primary key (user_id, key_hash),
    constraint import_keys_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

alter table private.import_keys enable row level security;

create policy withheld on private.import_keys for select to authenticated using (false);

-- Withheld: everything, from everybody.
revoke all on table private.import_keys from public, anon, authenticated, service_role;

comment on table private.import_keys is 'What was imported under a key, for as long as the account exists. No policy for select, insert, update, delete: take_import_part alone uses it.';
comment on column private.import_keys.key_hash is 'SHA-256 of a key and of what one conversation is known by where it is from.';

-- Runs as its owner, because nobody else may write last_seq, created_at, updated_at or imported.
-- Only the role of a user or an assistant is ever stored: a system row would have a say in what the
-- AI does. Where a file had other ones, imported.system and imported.summaries name their places.
create function public.take_import_part(
    user_id uuid,
    import_id uuid,
    part integer,
    pieces jsonb default null,
    is_over boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_outcome jsonb;
begin
    if part = 0 then
        delete from private.import_parts as p -- of the same file, which was all taken: another import
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and exists (
              select 1
              from private.import_parts as o
              where o.user_id = take_import_part.user_id
                and o.import_id = take_import_part.import_id
                and o.is_over
          );
    end if;

    if pieces is not null then
        -- Calls of one import queue at its first part, and behind them whoever erases the account.
        insert into private.import_parts (user_id, import_id, part)
        values (take_import_part.user_id, take_import_part.import_id, take_import_part.part)
        on conflict on constraint import_parts_pkey do nothing;

        perform 1
        from private.import_parts as p
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and p.part = 0
        for update;
    end if;

    -- What came of it before, if all that it took is still there.
    select p.outcome into v_outcome
    from private.import_parts as p
    where p.user_id = take_import_part.user_id
      and p.import_id = take_import_part.import_id
      and p.part = take_import_part.part
      and not exists (
          select 1
          from jsonb_array_elements(p.outcome) as o (one)
          where (one ->> 'is_taken')::boolean
            and not exists (
                select 1
                from public.conversations as c
                where c.user_id = take_import_part.user_id
                  and c.id = (one ->> 'id')::uuid
            )
      );

    if v_outcome is not null or pieces is null then
        return jsonb_build_object('outcome', v_outcome);
    end if;

    -- An erasure removes the parts, and what follows of the file is not taken any more.
    if (
        select count(*)
        from private.import_parts as p
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and p.part < take_import_part.part
    ) < part then
        raise exception 'What was imported of the file so far has been removed meanwhile; nothing more is taken.'
            using errcode = 'PT409', detail = 'import_incomplete';
    end if;

    -- In the order in which whoever locks several takes them; then those that are new, by their names.
    perform 1
    from private.conversations as c
    where c.user_id = take_import_part.user_id
      and (c.imported ->> 'source', c.imported ->> 'id') in (
          select piece #>> '{conversation,imported,source}', piece #>> '{conversation,imported,id}'
          from jsonb_array_elements(pieces) as p (piece)
      )
    order by c.id
    for update;

    perform set_config('message_persistence.is_importing', 'yes', true);
    select coalesce(jsonb_agg(
        private.take_piece(take_import_part.user_id, take_import_part.import_id, ordered.piece)
    ), '[]')
    into v_outcome
    from (
        select p.piece
        from jsonb_array_elements(pieces) with ordinality as p (piece, place)
        order by p.piece #>> '{conversation,imported,source}',
                 p.piece #>> '{conversation,imported,id}', p.place
    ) as ordered;
    perform set_config('message_persistence.is_importing', '', true);
    perform private.count_import_bytes(user_id, pieces); -- last, as whoever holds a conversation does

    update private.import_parts as p
    set outcome = v_outcome,
        is_over = take_import_part.is_over,
        taken_at = clock_timestamp()
    where p.user_id = take_import_part.user_id
      and p.import_id = take_import_part.import_id
      and p.part = take_import_part.part;
    return jsonb_build_object('outcome', v_outcome);
end;
$$;

revoke all on function public.take_import_part from public, anon, authenticated, service_role;
grant execute on function public.take_import_part to service_role;
comment on function public.take_import_part is 'Takes a part of a file, after those before it: {outcome: [{place, id, is_taken, known_id, is_same, appended, changed}]}, one for each piece of a conversation. Taking it again does nothing and answers the same; without pieces it only says what came of it, null for nothing yet. Raises PT400, PT409.';

-- Runs as its owner, because the service may not say since when a conversation is to be removed.
create function private.end_imports(user_id uuid)
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_count bigint;
begin
    delete from private.import_parts as p
    where p.user_id = end_imports.user_id;
    get diagnostics v_count = row_count;

    update public.conversations as c
    set deleting_since = '-infinity'
    where c.user_id = end_imports.user_id
      and c.deleting_since > '-infinity';
    return v_count;
end;
$$;

grant execute on function private.end_imports to service_role;
comment on function private.end_imports is 'Ends what a user is importing, and returns how many parts were noted: what is hidden of it is to be removed at once.';
