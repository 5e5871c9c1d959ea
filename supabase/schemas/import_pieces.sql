-- A conversation of a file, as take_import_part takes it: piece by piece, {place, first, is_last,
-- conversation, messages}. `first` is the seq of a piece's first message in the file's conversation; what
-- fits in one part is one piece. A conversation that isn't here is made, and filled; one that is here
-- gets what its file has more by now.

create function private.take_piece(user_id uuid, import_id uuid, piece jsonb)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_header constant jsonb := piece -> 'conversation';
    v_imported constant jsonb := v_header -> 'imported';
    v_first constant bigint := (piece ->> 'first')::bigint;
    v_key constant bytea := decode(v_header ->> 'key_hash', 'hex');
    v_outcome constant jsonb := jsonb_build_object(
        'place', piece -> 'place', 'id', null, 'is_taken', false, 'known_id', null, 'is_same', true,
        'appended', 0, 'changed', 0, 'matched', 0
    );
    v_here public.conversations;
    v_is_known boolean;
begin
    select c.* into v_here
    from public.conversations as c
    where c.user_id = take_piece.user_id
      and c.imported ->> 'source' = v_imported ->> 'source'
      and c.imported ->> 'id' = v_imported ->> 'id'
    for update;

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
            deleting_since = '-infinity'
        where c.user_id = take_piece.user_id and c.id = v_here.id;
        v_here := null;
    end if;

    if v_here.id is null then
        select c.* into v_here
        from public.conversations as c
        where c.user_id = take_piece.user_id
          and c.id = (v_imported ->> 'conversationId')::uuid
          and c.deleting_since is null
          and c.last_seq >= (v_header ->> 'last_seq')::bigint;
    end if;
    v_is_known := v_here.id is not null and v_here.deleting_since is null;

    if v_here.id is null then
        if exists (
            select 1
            from private.import_keys as k
            where k.user_id = take_piece.user_id and k.key_hash = v_key
        ) then
            return v_outcome; -- it came under the same key before, and was deleted since
        end if;

        v_here := private.begin_imported(user_id, import_id, piece);
        if v_here.id is null then -- somebody else was faster
            return private.take_piece(user_id, import_id, piece);
        end if;
    end if;

    -- With the last piece: one that was never whole may come again.
    insert into private.import_keys (user_id, key_hash)
    select take_piece.user_id, v_key
    where v_key is not null and (piece ->> 'is_last')::boolean
    on conflict do nothing;

    if not v_is_known then
        perform private.add_imported(user_id, piece, v_here);
        return v_outcome || jsonb_build_object('id', v_here.id, 'is_taken', true);
    end if;

    -- One that is known by its content or a key doesn't grow: what has is another one.
    return v_outcome
        || case when v_imported ? 'checksum' then '{}'
                else private.append_grown(user_id, import_id, piece, v_here) end
        || jsonb_build_object(
            'known_id', v_here.id,
            'is_same', v_here.imported ->> 'checksum' is not distinct from v_imported ->> 'checksum'
        );
end;
$$;

comment on function private.take_piece is 'Takes a piece of a conversation, or compares it with the one that is here already: {place, id, is_taken, known_id, is_same, appended, changed, matched}.';

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

create function private.insert_imported(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    messages jsonb
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into public.messages
        (conversation_id, user_id, seq, role, content, generated_code, metadata, parts, native,
         created_at, branch)
    select insert_imported.conversation_id,
           insert_imported.user_id,
           insert_imported.after + place,
           case message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
           message ->> 'content',
           message ->> 'generated_code',
           (message ->> 'metadata')::jsonb,
           coalesce((message ->> 'parts')::jsonb, '[]'),
           (message ->> 'native')::jsonb,
           (message ->> 'created_at')::timestamptz,
           private.branch_at(
               insert_imported.user_id, insert_imported.conversation_id,
               insert_imported.after + place
           )
    from jsonb_array_elements(insert_imported.messages) with ordinality as m (message, place)
    order by place;
end;
$$;

comment on function private.insert_imported is 'Writes messages behind a seq, each on the branch that begins at or before its place.';

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
    v_header constant jsonb := piece -> 'conversation';
    v_before constant bigint := (piece ->> 'first')::bigint - 1;
    v_last constant bigint := v_before + jsonb_array_length(piece -> 'messages');
    v_hidden_until constant timestamptz := now() + interval '1 hour';
begin
    perform private.insert_imported(user_id, conversation.id, v_before, piece -> 'messages');

    -- What the doctor checks: no gap, times that grow with the places, branches that are a tree.
    if conversation.last_seq <> v_before
        or exists (
            select 1
            from (
                select m.created_at <= lag(m.created_at) over (order by m.seq) as is_early
                from public.messages as m
                where m.user_id = add_imported.user_id
                  and m.conversation_id = conversation.id
                  and m.seq >= v_before
            ) as o
            where o.is_early
        )
        or c_is_last and (
            v_last <> (v_header ->> 'last_seq')::bigint
            or not conversation.active_branch between 0 and conversation.last_branch
            or private.count_branches(user_id, conversation.id, v_last)
                is distinct from conversation.last_branch
        )
    then
        raise exception 'The file can''t be imported; nothing was: its messages have no right order.'
            using errcode = 'PT400', detail = 'invalid_import';
    end if;

    update public.conversations as c
    set last_seq = v_last,
        updated_at = greatest(
            (v_header ->> 'updated_at')::timestamptz,
            (piece -> 'messages' -> -1 ->> 'created_at')::timestamptz
        ),
        imported = c.imported || jsonb_build_object('at', now(), 'lastSeq', v_last),
        deleting_since = case when not c_is_last then v_hidden_until end
    where c.user_id = add_imported.user_id and c.id = conversation.id;
end;
$$;

comment on function private.add_imported is 'Adds the messages of a piece to the conversation that it is of. Raises PT400 where that breaks what the doctor checks.';
