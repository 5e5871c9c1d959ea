-- What comes of a file whose conversation an earlier import has brought: as a provider's export of each
-- month, which has all of it again.

-- A message is known by the id that it has where it is from, and so is the one that it follows
-- (`after`; '' for none). What follows another message than the last one here begins a branch, as it
-- would have if it had been written here: the two are never one conversation. What says something else
-- now, or is no more in the file, has changed.
create function private.append_grown(
    user_id uuid,
    import_id uuid,
    piece jsonb,
    conversation public.conversations
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_seqs jsonb; -- of messages here, by their ids
    v_newest_at timestamptz;
    v_new jsonb;
    v_matched integer;
    v_changed integer;
begin
    select coalesce(jsonb_object_agg(m.metadata -> 'imported' ->> 'id', m.seq) filter (
               where m.metadata -> 'imported' ->> 'id' is not null
           ), '{}'),
           max(m.created_at)
    into v_seqs, v_newest_at
    from public.messages as m
    where m.user_id = append_grown.user_id
      and m.conversation_id = append_grown.conversation.id;

    with staged as (
        select distinct on (key) key, place, message
        from (
            select (m.message ->> 'metadata')::jsonb -> 'imported' ->> 'id' as key,
                   m.place, m.message
            from jsonb_array_elements(piece -> 'messages') with ordinality as m (message, place)
        ) as keyed
        where key is not null
        order by key, place
    ),
    new as (
        select s.place,
               s.message || jsonb_build_object('key', s.key, 'created_at', greatest(
                   v_newest_at,
                   max((s.message ->> 'created_at')::timestamptz - s.place * interval '1 microsecond')
                       over (order by s.place)
               ) + s.place * interval '1 microsecond') as message
        from staged as s
        where not v_seqs ? s.key
    )
    select (select coalesce(jsonb_agg(n.message order by n.place), '[]') from new as n),
           count(m.id),
           count(m.id) filter (where m.content <> s.message ->> 'content')
    into v_new, v_matched, v_changed
    from staged as s
    left join public.messages as m
        on m.user_id = append_grown.user_id
        and m.conversation_id = append_grown.conversation.id
        and m.seq = (v_seqs ->> s.key)::bigint;

    if v_new <> '[]' then
        perform private.append_imported(user_id, piece, conversation, v_seqs, v_new);
    end if;

    -- With the last piece shows what the file has no more: all that was here but what was matched.
    if (piece ->> 'is_last')::boolean then
        v_changed := v_changed + (select count(*) from jsonb_object_keys(v_seqs)) - v_matched - coalesce((
            select sum((one ->> 'matched')::integer + (one ->> 'appended')::integer)
            from private.import_parts as p
            cross join lateral jsonb_array_elements(p.outcome) as o (one)
            where p.user_id = append_grown.user_id
              and p.import_id = append_grown.import_id
              and one -> 'place' = piece -> 'place'
        ), 0);
    end if;

    return jsonb_build_object(
        'appended', jsonb_array_length(v_new),
        'changed', greatest(v_changed, 0),
        'matched', v_matched
    );
end;
$$;

comment on function private.append_grown is 'Appends to a conversation that is here what a piece of its file has more by now: {appended, changed, matched}.';

-- Which path is active follows the file where nobody has written here; else only where the active path
-- is what goes on.
create function private.append_imported(
    user_id uuid,
    piece jsonb,
    conversation public.conversations,
    seqs jsonb,
    messages jsonb
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_last constant bigint := conversation.last_seq;
    -- A turn that makes a reply once more has begun a branch, and writes to it later.
    v_is_awaited constant boolean := private.branch_at(user_id, conversation.id, v_last)
        < conversation.last_branch;
    v_is_imports_alone constant boolean := (conversation.imported ->> 'lastSeq')::bigint = v_last;
    v_seqs jsonb := seqs;
    v_active integer := conversation.active_branch;
    v_is_followed boolean;
    v_branch integer;
    v_start record;
begin
    select v_seqs || jsonb_object_agg(message ->> 'key', v_last + place) into v_seqs
    from jsonb_array_elements(messages) with ordinality as m (message, place);

    update public.conversations as c
    set last_seq = v_last + jsonb_array_length(messages),
        updated_at = greatest(c.updated_at, (messages -> -1 ->> 'created_at')::timestamptz),
        imported = c.imported || jsonb_strip_nulls(jsonb_build_object(
            'at', now(),
            'lastSeq', case when v_is_imports_alone then v_last + jsonb_array_length(messages) end
        ))
    where c.user_id = append_imported.user_id and c.id = append_imported.conversation.id;

    for v_start in
        select f.seq, f.fork_seq
        from (
            select v_last + m.place as seq,
                   least(
                       case m.message ->> 'after' when '' then 0
                           else (v_seqs ->> (m.message ->> 'after'))::bigint end,
                       v_last + m.place - 1
                   ) as fork_seq
            from jsonb_array_elements(messages) with ordinality as m (message, place)
        ) as f
        where f.fork_seq <> f.seq - 1
           or (f.fork_seq = v_last and v_is_awaited)
        order by f.seq
    loop
        v_is_followed := not v_is_awaited
            and private.branch_at(user_id, conversation.id, v_start.fork_seq) = v_active
            and private.branch_at(user_id, conversation.id, v_start.fork_seq + 1) <> v_active;
        v_branch := private.begin_branch(
            user_id, conversation.id,
            private.branch_at(user_id, conversation.id, v_start.fork_seq),
            v_start.fork_seq, v_start.seq
        );
        v_active := case when v_is_followed then v_branch else v_active end;
    end loop;

    perform private.insert_imported(user_id, conversation.id, v_last, messages);

    if v_is_imports_alone and not v_is_awaited and v_seqs ? (piece -> 'conversation' ->> 'leaf') then
        v_active := private.branch_at(
            user_id, conversation.id, (v_seqs ->> (piece -> 'conversation' ->> 'leaf'))::bigint
        );
    end if;
    update public.conversations as c
    set active_branch = v_active
    where c.user_id = append_imported.user_id and c.id = append_imported.conversation.id
      and c.active_branch <> v_active;
end;
$$;

comment on function private.append_imported is 'Writes messages that a file has more behind those that are here, each on the path that it is on in the file; seqs has those of the messages here, by their ids.';
