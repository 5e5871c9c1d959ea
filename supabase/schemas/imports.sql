-- Imports: a file is staged in parts and then taken by one call, so that all of it is there or
-- nothing is. What was imported, from where and when stands in conversations.imported, which nobody
-- but commit_import writes: an imported reply can't be passed off as one of ours.

create table private.import_parts (
    user_id uuid not null,
    import_id uuid not null,
    part integer not null,
    conversations jsonb not null default '[]',
    messages jsonb not null default '[]',
    staged_at timestamptz not null default now(),

    constraint import_parts_pkey primary key (user_id, import_id, part),
    constraint import_parts_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint import_parts_conversations_array check (jsonb_typeof(conversations) = 'array'),
    constraint import_parts_messages_array check (jsonb_typeof(messages) = 'array')
);

alter table private.import_parts enable row level security;

-- Written out, so that it isn't taken for one that was forgotten.
create policy withheld on private.import_parts for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: update.
revoke all on table private.import_parts from public, anon, authenticated, service_role;
grant select, insert, delete on table private.import_parts to service_role;

comment on table private.import_parts is 'Parts of files that are being imported; gone when the import is. No policy for select, insert, update, delete: the backend alone stages them.';

create function public.stage_import(
    user_id uuid,
    import_id uuid,
    part integer,
    conversations jsonb,
    messages jsonb
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into private.import_parts (import_id, part, user_id, conversations, messages)
    values (
        stage_import.import_id, stage_import.part, stage_import.user_id,
        stage_import.conversations, stage_import.messages
    )
    on conflict on constraint import_parts_pkey do nothing;

    return jsonb_build_object('part', stage_import.part);
end;
$$;

revoke all on function public.stage_import from public, anon, authenticated, service_role;
grant execute on function public.stage_import to service_role;
comment on function public.stage_import is 'Keeps a part of an import until it is committed; staging one again changes nothing. A conversation lists its messages in order, over as many parts as they need.';

create function public.discard_import(user_id uuid, import_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_count integer;
begin
    delete from private.import_parts as p
    where p.user_id = discard_import.user_id
      and p.import_id = discard_import.import_id;
    get diagnostics v_count = row_count;
    return jsonb_build_object('discarded', v_count);
end;
$$;

revoke all on function public.discard_import from public, anon, authenticated, service_role;
grant execute on function public.discard_import to service_role;
comment on function public.discard_import is 'Forgets the parts of an import that is not to be.';

-- A listing: it reads over all users, and discard_import then writes for one.
create function public.list_imports_left_behind(most integer default 100)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object('imports', coalesce(jsonb_agg(to_jsonb(behind)), '[]'))
    from (
        select p.user_id, p.import_id
        from private.import_parts as p
        where p.staged_at < now() - interval '1 hour'
        group by p.user_id, p.import_id
        limit list_imports_left_behind.most
    ) as behind;
$$;

revoke all on function public.list_imports_left_behind from public, anon, authenticated, service_role;
grant execute on function public.list_imports_left_behind to service_role;
comment on function public.list_imports_left_behind is 'What processes that died had staged, an hour ago or longer: {imports: [{user_id, import_id}]}.';

-- Runs as its owner, because nobody else may write last_seq, created_at, updated_at or imported.
-- Only the role of a user or an assistant is ever stored: a system row would have a say in what the
-- AI does. Where a file had other ones, imported.system and imported.summaries name their places.
create function public.commit_import(user_id uuid, import_id uuid, parts integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
set statement_timeout = '10min'
as $$
#variable_conflict use_column
declare
    v_taken uuid[];
    v_grown jsonb;
    v_outcome jsonb;
begin
    -- Two commits of one import queue here.
    perform 1
    from private.import_parts as p
    where p.user_id = commit_import.user_id
      and p.import_id = commit_import.import_id
    for update;

    if (
        select count(*)
        from private.import_parts as p
        where p.user_id = commit_import.user_id
          and p.import_id = commit_import.import_id
    ) is distinct from commit_import.parts then
        raise exception 'The import is not complete any more; import the file again.'
            using errcode = 'PT503', detail = 'import_incomplete';
    end if;

    -- Not those that are here already: as themselves, whole, or by an import of the same thing.
    with headers as (
        select p.part, h.place, h.header
        from private.import_parts as p
        cross join lateral jsonb_array_elements(p.conversations)
            with ordinality as h (header, place)
        where p.user_id = commit_import.user_id
          and p.import_id = commit_import.import_id
    ),
    taken as (
        insert into public.conversations
            (id, user_id, project_id, title, metadata, last_seq, created_at, updated_at,
             archived_at, imported)
        select (header ->> 'id')::uuid,
               commit_import.user_id,
               (header ->> 'project_id')::uuid,
               header ->> 'title',
               (header ->> 'metadata')::jsonb,
               (header ->> 'last_seq')::bigint,
               (header ->> 'created_at')::timestamptz,
               (header ->> 'updated_at')::timestamptz,
               (header ->> 'archived_at')::timestamptz,
               header -> 'imported' || jsonb_build_object(
                   'at', now(), 'import', commit_import.import_id, 'lastSeq', header -> 'last_seq'
               )
        from headers
        where not exists (
            select 1
            from private.conversations as c
            where c.user_id = commit_import.user_id
              and c.id = (header -> 'imported' ->> 'conversationId')::uuid
              and c.last_seq >= (header ->> 'last_seq')::bigint
        )
        order by part, place
        on conflict do nothing
        returning id
    )
    select coalesce(array_agg(id), '{}') into v_taken from taken;

    perform set_config('message_persistence.importing', 'on', true);

    insert into public.messages
        (conversation_id, user_id, seq, role, content, generated_code, metadata, created_at)
    select (message ->> 'conversation_id')::uuid,
           commit_import.user_id,
           row_number() over (
               partition by message ->> 'conversation_id' order by part, place
           ),
           case message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
           message ->> 'content',
           message ->> 'generated_code',
           (message ->> 'metadata')::jsonb,
           (message ->> 'created_at')::timestamptz
    from (
        select p.part, m.place, m.message
        from private.import_parts as p
        cross join lateral jsonb_array_elements(p.messages) with ordinality as m (message, place)
        where p.user_id = commit_import.user_id
          and p.import_id = commit_import.import_id
    ) as staged
    where (message ->> 'conversation_id')::uuid = any (v_taken)
    order by part, place;

    v_grown := private.append_grown(commit_import.user_id, commit_import.import_id, v_taken);

    perform set_config('message_persistence.importing', '', true);
    perform private.require_whole(commit_import.user_id, v_taken);

    select coalesce(jsonb_agg(
        jsonb_build_object(
            'id', header -> 'id',
            'is_taken', (header ->> 'id')::uuid = any (v_taken),
            'known_id', coalesce(copy.id, original.id),
            'is_same',
            copy.imported ->> 'checksum' is not distinct from header -> 'imported' ->> 'checksum',
            'appended', coalesce((v_grown -> (header ->> 'id') ->> 'appended')::integer, 0),
            'changed', coalesce((v_grown -> (header ->> 'id') ->> 'changed')::integer, 0)
        )
        order by part, place
    ), '[]')
    into v_outcome
    from (
        select p.part, h.place, h.header
        from private.import_parts as p
        cross join lateral jsonb_array_elements(p.conversations)
            with ordinality as h (header, place)
        where p.user_id = commit_import.user_id
          and p.import_id = commit_import.import_id
    ) as headers
    left join private.conversations as original
        on original.user_id = commit_import.user_id
        and original.id = (header -> 'imported' ->> 'conversationId')::uuid
    left join private.conversations as copy
        on copy.user_id = commit_import.user_id
        and copy.imported ->> 'source' = header -> 'imported' ->> 'source'
        and copy.imported ->> 'id' = header -> 'imported' ->> 'id';

    delete from private.import_parts as p
    where p.user_id = commit_import.user_id
      and p.import_id = commit_import.import_id;
    return jsonb_build_object('conversations', v_outcome);
end;
$$;

revoke all on function public.commit_import from public, anon, authenticated, service_role;
grant execute on function public.commit_import to service_role;
comment on function public.commit_import is 'Takes a staged import, all or nothing: {conversations: [{id, is_taken, known_id, is_same, appended, changed}]} in the order staged. One that is here already is not taken; what its file has more is appended to it. Raises PT400, PT503.';

create function private.require_whole(user_id uuid, conversation_ids uuid[])
returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
    if exists (
        select 1
        from private.conversations as c
        left join lateral (
            select count(*) as messages,
                   min(m.seq) as first_seq,
                   max(m.seq) as newest_seq,
                   max(m.created_at) as newest_at,
                   bool_or(not m.is_later) as is_out_of_order
            from (
                select o.seq,
                       o.created_at,
                       o.created_at > lag(o.created_at, 1, '-infinity') over (order by o.seq)
                           as is_later
                from public.messages as o
                where o.user_id = require_whole.user_id and o.conversation_id = c.id
            ) as m
        ) as found on true
        where c.user_id = require_whole.user_id
          and c.id = any (conversation_ids)
          and (
              found.messages <> c.last_seq
              or coalesce(found.first_seq, 1) <> 1
              or coalesce(found.newest_seq, 0) <> c.last_seq
              or coalesce(found.is_out_of_order, false)
              or coalesce(found.newest_at, c.updated_at) > c.updated_at
          )
    ) then
        raise exception 'The file can''t be imported; nothing was: its messages have no right order.'
            using errcode = 'PT400', detail = 'invalid_import';
    end if;
end;
$$;

revoke all on function private.require_whole from public, anon, authenticated, service_role;
comment on function private.require_whole is 'Raises PT400 where one of these conversations breaks what the doctor checks: seq 1 ... last_seq, created_at growing with it.';

-- For commit_import: a message is known by the id that it has where it is from.
create function private.append_grown(user_id uuid, import_id uuid, taken uuid[])
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_here jsonb; -- by the id that was staged: the conversation that is here, and where it ends
    v_grown jsonb;
begin
    -- In one order, so that two imports don't wait for each other.
    perform 1
    from private.conversations as c
    join private.import_parts as p
        on p.user_id = append_grown.user_id and p.import_id = append_grown.import_id
    cross join lateral jsonb_array_elements(p.conversations) as h (header)
    where c.user_id = append_grown.user_id
      and c.imported ->> 'source' = header -> 'imported' ->> 'source'
      and c.imported ->> 'id' = header -> 'imported' ->> 'id'
    order by c.id
    for update of c;

    select jsonb_object_agg(header ->> 'id', jsonb_build_object(
        'id', c.id,
        'last_seq', c.last_seq,
        'newest_at', (select max(m.created_at) from public.messages as m
                      where m.user_id = append_grown.user_id and m.conversation_id = c.id)
    ))
    into v_here
    from private.import_parts as p
    cross join lateral jsonb_array_elements(p.conversations) as h (header)
    join private.conversations as c
        on c.user_id = append_grown.user_id
        and c.imported ->> 'source' = header -> 'imported' ->> 'source'
        and c.imported ->> 'id' = header -> 'imported' ->> 'id'
    where p.user_id = append_grown.user_id
      and p.import_id = append_grown.import_id
      and (header ->> 'id')::uuid <> all (append_grown.taken)
      -- Those are known by their content or a key: what has grown is another one.
      and not header -> 'imported' ? 'checksum';

    with staged as (
        select m.message ->> 'conversation_id' as staged_id, p.part, m.place, m.message,
               (m.message ->> 'metadata')::jsonb -> 'imported' ->> 'id' as key
        from private.import_parts as p
        cross join lateral jsonb_array_elements(p.messages) with ordinality as m (message, place)
        where p.user_id = append_grown.user_id
          and p.import_id = append_grown.import_id
          and v_here ? (m.message ->> 'conversation_id')
    ),
    known as (
        select here.staged_id, m.content, m.metadata -> 'imported' ->> 'id' as key
        from jsonb_each(v_here) as here (staged_id, place)
        join public.messages as m
            on m.user_id = append_grown.user_id and m.conversation_id = (here.place ->> 'id')::uuid
        where m.metadata -> 'imported' ->> 'id' is not null
    ),
    -- A full join is never a loop within a loop, whatever the planner takes these for.
    compared as (
        select coalesce(s.staged_id, k.staged_id) as staged_id, s.key, s.part, s.place, s.message,
               v_here -> s.staged_id as here, s.key is not null and k.key is null as is_new,
               -- What says something else now, or is on no path of the file any more.
               k.key is not null and s.message ->> 'content' is distinct from k.content as is_changed
        from staged as s
        full join known as k on k.staged_id = s.staged_id and k.key = s.key
    ),
    new as (
        select d.*, row_number() over (partition by d.here order by d.part, d.place) as nth
        from (
            -- A file may have a conversation twice: as it was, and as it has grown.
            select distinct on (c.here, c.key) c.*
            from compared as c where c.is_new
            order by c.here, c.key, c.part, c.place
        ) as d
    ),
    appended as (
        insert into public.messages
            (conversation_id, user_id, seq, role, content, generated_code, metadata, created_at)
        select (n.here ->> 'id')::uuid,
               append_grown.user_id,
               (n.here ->> 'last_seq')::bigint + n.nth,
               case n.message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
               n.message ->> 'content',
               n.message ->> 'generated_code',
               (n.message ->> 'metadata')::jsonb,
               greatest(
                   (n.here ->> 'newest_at')::timestamptz,
                   max((n.message ->> 'created_at')::timestamptz - n.nth * interval '1 microsecond')
                       over (partition by n.here order by n.nth)
               ) + n.nth * interval '1 microsecond'
        from new as n
        order by 1, n.nth
        returning conversation_id, seq, created_at
    ),
    moved as (
        update private.conversations as c
        set last_seq = a.last_seq,
            updated_at = greatest(c.updated_at, a.newest_at),
            imported = c.imported || jsonb_build_object('at', now())
                || case when (c.imported ->> 'lastSeq')::bigint = c.last_seq
                       then jsonb_build_object('lastSeq', a.last_seq) else '{}' end
        from (
            select conversation_id, max(seq) as last_seq, max(created_at) as newest_at
            from appended group by conversation_id) as a
        where c.user_id = append_grown.user_id and c.id = a.conversation_id
    )
    select jsonb_object_agg(counted.staged_id, to_jsonb(counted) - 'staged_id')
    into v_grown
    from (
        select c.staged_id, count(n.nth) as appended,
               count(*) filter (where c.is_changed) as changed
        from compared as c
        full join new as n on n.staged_id = c.staged_id and n.part = c.part and n.place = c.place
        group by c.staged_id
    ) as counted;
    return v_grown;
end;
$$;

revoke all on function private.append_grown from public, anon, authenticated, service_role;
comment on function private.append_grown is 'Appends to conversations that an earlier import made what their file has more by now: {staged id: {appended, changed}}. A message is known by the id that it has where it is from.';
