-- Conversations whose items a framework adds itself, as they are. What it takes back stays, with a row
-- of the system behind it that says so: `metadata.takesBack` has that message's id, or `all`.

-- The ids are made by whoever calls: a row that is there already is left alone, so that the same call
-- does nothing twice.
create function public.append_messages(user_id uuid, conversation_id uuid, messages jsonb)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_added integer;
begin
    insert into public.conversations (id, user_id, title)
    values (
        append_messages.conversation_id,
        append_messages.user_id,
        private.title_from_request(coalesce(jsonb_path_query_first(
            messages, '$[*] ? (@.role == "user").content'
        ) #>> '{}', ''))
    )
    on conflict do nothing;

    perform 1
    from private.conversations as c
    where c.user_id = append_messages.user_id and c.id = append_messages.conversation_id
    for update;

    if not found then -- somebody else's, or on its way to be deleted
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    insert into public.messages
        (id, conversation_id, user_id, role, content, metadata, parts, native)
    select (i.message ->> 'id')::uuid,
           append_messages.conversation_id,
           append_messages.user_id,
           i.message ->> 'role',
           i.message ->> 'content',
           coalesce(i.message -> 'metadata', '{}'),
           coalesce(i.message -> 'parts', '[]'),
           nullif(i.message -> 'native', 'null')
    from jsonb_array_elements(messages) with ordinality as i (message, nth)
    order by i.nth
    on conflict do nothing;
    get diagnostics v_added = row_count;

    return jsonb_build_object('added', v_added);
end;
$$;

revoke all on function public.append_messages from public, anon, authenticated, service_role;
grant execute on function public.append_messages to service_role;
comment on function public.append_messages is 'Adds messages at the end of a conversation, which is made if there is none, all of them or none, each once by its id. Answers {added}. Raises PT404.';

-- What was taken back before is passed over, from the end: each of those rows takes back the newest
-- message that was still there.
create function public.take_back_message(
    user_id uuid,
    conversation_id uuid,
    message_id uuid
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_taken public.messages;
    v_row public.messages;
    v_passed integer := 0;
begin
    perform 1
    from private.conversations as c
    where c.user_id = take_back_message.user_id and c.id = take_back_message.conversation_id
    for update;

    select m.* into v_taken
    from public.messages as t
    join public.messages as m
        on m.user_id = t.user_id and m.id::text = t.metadata ->> 'takesBack'
    where t.user_id = take_back_message.user_id and t.id = take_back_message.message_id;

    if found then
        return jsonb_build_object('message', to_jsonb(v_taken)); -- the same call again
    end if;

    for v_row in
        select m.*
        from public.messages as m
        where m.user_id = take_back_message.user_id
          and m.conversation_id = take_back_message.conversation_id
          and not m.is_summary
        order by m.seq desc
    loop
        exit when v_row.role = 'system' and v_row.metadata ->> 'takesBack' = 'all';
        v_passed := v_passed
            + case when v_row.role = 'system' and v_row.metadata ? 'takesBack' then 1 else -1 end;
        continue when v_passed >= 0;

        v_taken := v_row;
        insert into public.messages (id, conversation_id, user_id, role, content, metadata)
        values (
            take_back_message.message_id,
            take_back_message.conversation_id,
            take_back_message.user_id,
            'system',
            'The message before this was taken back.',
            jsonb_build_object('takesBack', v_taken.id)
        );
        exit;
    end loop;

    return jsonb_build_object(
        'message', case when v_taken.id is not null then to_jsonb(v_taken) end
    );
end;
$$;

revoke all on function public.take_back_message from public, anon, authenticated, service_role;
grant execute on function public.take_back_message to service_role;
comment on function public.take_back_message is 'Adds a row that takes the newest message back which is still there, and answers it: {message}, null if there is none. `message_id` is that row''s id, by which the same call does nothing twice.';
