-- What take_import_part does with each piece of a conversation: {place, first, is_last, conversation,
-- messages}. `first` is the seq of its first message in the file's conversation; a conversation that
-- fits in one part is one piece.

create function private.take_piece(user_id uuid, import_id uuid, piece jsonb)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_header constant jsonb := piece -> 'conversation';
    v_imported constant jsonb := v_header -> 'imported';
    v_first constant bigint := (piece ->> 'first')::bigint;
    v_here public.conversations;
    v_original public.conversations;
begin
    v_here := private.conversation_imported_as(user_id, v_imported);

    -- A hidden one is this, begun with an earlier piece. Else it makes way: another import has left
    -- it unfinished, or it is being deleted.
    if v_here.deleting_since is not null
        and (
            v_first = 1
            or v_here.imported ->> 'import' <> import_id::text
            or v_here.deleting_since <= now()
        )
    then
        update public.conversations as c
        set imported = c.imported - 'id',
            deleting_since = least(c.deleting_since, now())
        where c.user_id = take_piece.user_id and c.id = v_here.id;
        v_here := null;
    end if;

    if v_here.deleting_since is null and v_here.id is not null then
        return private.outcome_of_known(user_id, import_id, piece, v_here);
    end if;

    if v_here.id is null then
        select c.* into v_original
        from public.conversations as c
        where c.user_id = take_piece.user_id
          and c.id = (v_imported ->> 'conversationId')::uuid
          and c.deleting_since is null;

        if v_original.last_seq >= (v_header ->> 'last_seq')::bigint then
            return private.outcome_of_known(user_id, import_id, piece, v_original);
        end if;

        -- It came under the same key before, and was deleted since.
        if private.is_import_key_used(user_id, piece) then
            return jsonb_build_object(
                'place', piece -> 'place', 'id', null, 'is_taken', false, 'known_id', null,
                'is_same', true, 'appended', 0, 'changed', 0, 'matched', 0
            );
        end if;

        v_here := private.begin_imported(user_id, import_id, piece);
        if v_here.id is null then -- somebody else was faster
            return private.take_piece(user_id, import_id, piece);
        end if;
    end if;

    perform private.keep_import_key(user_id, piece);
    perform private.add_imported(user_id, piece, v_here);
    return jsonb_build_object(
        'place', piece -> 'place', 'id', v_here.id, 'is_taken', true, 'known_id', null,
        'is_same', true, 'appended', 0, 'changed', 0, 'matched', 0
    );
end;
$$;

comment on function private.take_piece is 'Takes a piece of a conversation, or compares it with the one that is here already, and says what came of it.';

create function private.conversation_imported_as(user_id uuid, imported jsonb)
returns public.conversations
language sql volatile security invoker set search_path = ''
as $$
    select c.*
    from public.conversations as c
    where c.user_id = conversation_imported_as.user_id
      and c.imported ->> 'source' = conversation_imported_as.imported ->> 'source'
      and c.imported ->> 'id' = conversation_imported_as.imported ->> 'id'
    for update;
$$;

comment on function private.conversation_imported_as is 'The conversation that an import made of the same thing, locked.';

create function private.begin_imported(user_id uuid, import_id uuid, piece jsonb)
returns public.conversations
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_header constant jsonb := piece -> 'conversation';
    v_conversation public.conversations;
begin
    if (piece ->> 'first')::bigint > 1 then
        raise exception 'What was imported of the file so far has been removed meanwhile; nothing more is taken.'
            using errcode = 'PT409', detail = 'import_incomplete';
    end if;

    insert into public.conversations
        (user_id, project_id, title, metadata, created_at, updated_at, archived_at, imported,
         active_branch, last_branch)
    values (
        begin_imported.user_id,
        (v_header ->> 'project_id')::uuid,
        v_header ->> 'title',
        (v_header ->> 'metadata')::jsonb,
        (v_header ->> 'created_at')::timestamptz,
        (v_header ->> 'updated_at')::timestamptz,
        (v_header ->> 'archived_at')::timestamptz,
        v_header -> 'imported' || jsonb_build_object('import', begin_imported.import_id),
        coalesce((v_header ->> 'active_branch')::integer, 0),
        coalesce(jsonb_array_length(v_header -> 'branches'), 0)
    )
    on conflict do nothing
    returning * into v_conversation;

    insert into public.branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)
    select begin_imported.user_id, v_conversation.id, b.branch, b.parent, b.fork_seq, b.first_seq
    from jsonb_to_recordset(coalesce(v_header -> 'branches', '[]'))
        as b (branch integer, parent integer, fork_seq bigint, first_seq bigint)
    where v_conversation.id is not null;
    return v_conversation;
end;
$$;

comment on function private.begin_imported is 'Makes the conversation that a first piece is of, without its messages; nothing where there is one by now. Raises PT409 for a later piece.';

-- Until its last piece the conversation is hidden, and on its way to be deleted an hour from now.
create function private.add_imported(
    user_id uuid,
    piece jsonb,
    conversation public.conversations
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_is_last constant boolean := (piece ->> 'is_last')::boolean;
    v_before constant bigint := (piece ->> 'first')::bigint - 1;
    v_last constant bigint := v_before + jsonb_array_length(piece -> 'messages');
    v_is_whole boolean;
begin
    insert into public.messages
        (conversation_id, user_id, seq, role, content, generated_code, metadata, parts, native,
         created_at, branch)
    select (add_imported.conversation).id,
           add_imported.user_id,
           v_before + place,
           case message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
           message ->> 'content',
           message ->> 'generated_code',
           (message ->> 'metadata')::jsonb,
           coalesce((message ->> 'parts')::jsonb, '[]'),
           (message ->> 'native')::jsonb,
           (message ->> 'created_at')::timestamptz,
           private.branch_at(user_id, (add_imported.conversation).id, v_before + place)
    from jsonb_array_elements(piece -> 'messages') with ordinality as m (message, place)
    order by place;

    -- What the doctor checks: no gap, and times that grow with the places.
    select (add_imported.conversation).last_seq = v_before
           and coalesce(bool_and(o.is_later), true)
           and (not c_is_last or (
               v_last = (piece -> 'conversation' ->> 'last_seq')::bigint
               and coalesce(max(o.created_at), '-infinity')
                   <= (piece -> 'conversation' ->> 'updated_at')::timestamptz
           ))
    into v_is_whole
    from (
        select m.created_at,
               m.created_at > lag(m.created_at, 1, '-infinity') over (order by m.seq) as is_later
        from public.messages as m
        where m.user_id = add_imported.user_id
          and m.conversation_id = (add_imported.conversation).id
          and m.seq >= v_before
    ) as o;

    if not v_is_whole then
        raise exception 'The file can''t be imported; nothing was: its messages have no right order.'
            using errcode = 'PT400', detail = 'invalid_import';
    end if;

    update public.conversations as c
    set last_seq = v_last,
        updated_at = (piece -> 'conversation' ->> 'updated_at')::timestamptz,
        imported = c.imported || jsonb_build_object('at', now(), 'lastSeq', v_last),
        deleting_since = case when not c_is_last then now() + interval '1 hour' end
    where c.user_id = add_imported.user_id and c.id = (add_imported.conversation).id;

    if c_is_last and (add_imported.conversation).last_branch > 0
        and (
            private.count_branches(user_id, (add_imported.conversation).id)
                is distinct from (add_imported.conversation).last_branch
            or not (add_imported.conversation).active_branch
                between 0 and (add_imported.conversation).last_branch
        )
    then
        raise exception 'The file can''t be imported; nothing was: its branches are no tree.'
            using errcode = 'PT400', detail = 'invalid_import';
    end if;
end;
$$;

comment on function private.add_imported is 'Adds the messages of a piece to the conversation that it is of. Raises PT400 where that breaks what the doctor checks.';

-- One that is known by its content or a key doesn't grow: what has is another one.
create function private.outcome_of_known(
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
    c_imported constant jsonb := piece -> 'conversation' -> 'imported';
    v_grown jsonb := jsonb_build_object('appended', 0, 'changed', 0, 'matched', 0);
begin
    perform private.keep_import_key(user_id, piece);
    if not c_imported ? 'checksum' then
        v_grown := private.append_grown(user_id, import_id, piece, conversation);
    end if;
    return v_grown || jsonb_build_object(
        'place', piece -> 'place',
        'id', null,
        'is_taken', false,
        'known_id', (conversation).id,
        'is_same', (conversation).imported ->> 'checksum' is not distinct from c_imported ->> 'checksum'
    );
end;
$$;

comment on function private.outcome_of_known is 'What comes of a piece whose conversation is here: what its file has more is appended.';

create function private.begin_imported_branch(
    user_id uuid,
    conversation public.conversations,
    fork_seq bigint
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_is_active constant boolean := fork_seq = private.end_of_branch(
        user_id, conversation.id, conversation.active_branch
    );
    v_branch integer;
begin
    v_branch := private.begin_branch(
        user_id, conversation.id, private.branch_at(user_id, conversation.id, fork_seq),
        fork_seq, conversation.last_seq + 1
    );
    if v_is_active then
        update public.conversations as c
        set active_branch = v_branch
        where c.user_id = begin_imported_branch.user_id and c.id = conversation.id;
    end if;
end;
$$;

comment on function private.begin_imported_branch is 'Begins a branch behind the last message that a file had before; where the active path ended there, it goes on with that.';

-- A message is known by the id that it has where it is from. What says something else now, or is on
-- no path of the file any more, has changed.
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
    v_known jsonb;
    v_newest_at timestamptz;
    v_newest_seq bigint;
    v_branch integer := (append_grown.conversation).last_branch;
    v_appended integer;
    v_matched integer;
    v_changed integer;
begin
    select jsonb_object_agg(m.metadata -> 'imported' ->> 'id', md5(m.content)) filter (
               where m.metadata -> 'imported' ->> 'id' is not null
           ),
           max(m.created_at),
           max(m.seq) filter (where m.metadata -> 'imported' ->> 'id' is not null)
    into v_known, v_newest_at, v_newest_seq
    from public.messages as m
    where m.user_id = append_grown.user_id
      and m.conversation_id = (append_grown.conversation).id;
    v_known := coalesce(v_known, '{}');

    -- Where somebody has gone on here with another path, the file goes on with its own.
    if v_branch > 0 and v_newest_seq < (append_grown.conversation).last_seq then
        v_branch := v_branch + 1;
    end if;

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
        select s.message, row_number() over (order by s.place) as nth
        from staged as s
        where not v_known ? s.key
    ),
    appended as (
        insert into public.messages
            (conversation_id, user_id, seq, role, content, generated_code, metadata, parts, native,
             created_at, branch)
        select (append_grown.conversation).id,
               append_grown.user_id,
               (append_grown.conversation).last_seq + n.nth,
               case n.message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
               n.message ->> 'content',
               n.message ->> 'generated_code',
               (n.message ->> 'metadata')::jsonb,
               coalesce((n.message ->> 'parts')::jsonb, '[]'),
               (n.message ->> 'native')::jsonb,
               greatest(
                   v_newest_at,
                   max((n.message ->> 'created_at')::timestamptz - n.nth * interval '1 microsecond')
                       over (order by n.nth)
               ) + n.nth * interval '1 microsecond',
               v_branch
        from new as n
        order by n.nth
        returning created_at
    )
    select (select count(*) from appended),
           count(*) filter (where v_known ? s.key),
           count(*) filter (where v_known ->> s.key <> md5(s.message ->> 'content')),
           coalesce((select max(a.created_at) from appended as a), v_newest_at)
    into v_appended, v_matched, v_changed, v_newest_at
    from staged as s;

    if v_appended > 0 and v_branch > (append_grown.conversation).last_branch then
        perform private.begin_imported_branch(user_id, conversation, v_newest_seq);
    end if;
    if v_appended > 0 then
        update public.conversations as c
        set last_seq = c.last_seq + v_appended,
            updated_at = greatest(c.updated_at, v_newest_at),
            imported = c.imported || jsonb_build_object('at', now())
                || case when (c.imported ->> 'lastSeq')::bigint = c.last_seq
                       then jsonb_build_object('lastSeq', c.last_seq + v_appended) else '{}' end
        where c.user_id = append_grown.user_id and c.id = (append_grown.conversation).id;
    end if;

    -- With the last piece shows what the file has no more: all that was here but what was matched.
    if (piece ->> 'is_last')::boolean then
        v_changed := v_changed + (select count(*) from jsonb_object_keys(v_known)) - v_matched - coalesce((
            select sum((one ->> 'matched')::integer + (one ->> 'appended')::integer)
            from private.import_parts as p
            cross join lateral jsonb_array_elements(p.outcome) as o (one)
            where p.user_id = append_grown.user_id
              and p.import_id = append_grown.import_id
              and one -> 'place' = piece -> 'place'
        ), 0);
    end if;

    return jsonb_build_object(
        'appended', v_appended, 'changed', greatest(v_changed, 0), 'matched', v_matched
    );
end;
$$;

comment on function private.append_grown is 'Appends to a conversation that an earlier import made what a piece of its file has more by now: {appended, changed, matched}.';
