-- What the file of an earlier import has more by now.

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
