-- What a signed-in user reads and manages. All of it runs as the caller, under row-level
-- security, so none of these functions can show more than a plain select would.

create function public.load_conversation(
    conversation_id uuid,
    page_size integer default 50,
    before bigint default null,
    after bigint default null,
    around uuid default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_conversation public.conversations;
    v_first bigint;
    v_messages jsonb;
    v_oldest bigint;
    v_newest bigint;
    v_around bigint;
begin
    select c.* into v_conversation
    from public.conversations as c
    where c.id = load_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    -- seq has no gaps, so a page is a range of it.
    if around is not null then
        select m.seq into v_around
        from public.messages as m
        where m.id = load_conversation.around
          and m.conversation_id = v_conversation.id;

        if not found then
            raise exception 'Message not found.'
                using errcode = 'PT404', detail = 'message_not_found';
        end if;
        v_first := greatest(
            1, least(v_around - v_limit / 2, v_conversation.last_seq - v_limit + 1)
        );
    elsif after is not null then
        v_first := least(greatest(after, 0), v_conversation.last_seq) + 1;
    else
        v_first := least(
            greatest(coalesce(before, v_conversation.last_seq + 1), 1), v_conversation.last_seq + 1
        ) - v_limit;
    end if;

    select coalesce(jsonb_agg(to_jsonb(m) order by m.seq), '[]'), min(m.seq), max(m.seq)
    into v_messages, v_oldest, v_newest
    from public.messages as m
    where m.conversation_id = v_conversation.id
      and m.seq between v_first and v_first + v_limit - 1
      and (before is null or m.seq < before);

    return jsonb_build_object(
        'conversation', to_jsonb(v_conversation),
        'messages', v_messages,
        'page', jsonb_build_object(
            'has_older', coalesce(v_oldest, v_first) > 1 and v_conversation.last_seq > 0,
            'has_newer', coalesce(v_newest, greatest(v_first - 1, 0)) < v_conversation.last_seq,
            'oldest_seq', v_oldest,
            'newest_seq', v_newest
        ),
        'last_seq', v_conversation.last_seq,
        'open_turn', (
            select jsonb_build_object(
                'turn_id', t.id,
                'status', t.status,
                'attempt', t.attempt,
                'user_message_id', t.user_message_id,
                'draft', t.draft,
                'offset', char_length(t.draft),
                'started_at', t.started_at,
                'lease_expires_at', t.lease_expires_at
            )
            from public.turns as t
            where t.conversation_id = v_conversation.id
              and t.status = 'running'
        )
    );
end;
$$;

revoke all on function public.load_conversation(uuid, integer, bigint, bigint, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.load_conversation(uuid, integer, bigint, bigint, uuid)
    to authenticated, service_role;
comment on function public.load_conversation(uuid, integer, bigint, bigint, uuid) is
    'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message. Raises PT404.';

create function public.list_conversations(
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    with page as (
        select c.*
        from public.conversations as c
        where (c.archived_at is not null) = list_conversations.archived
          and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
          and (
              list_conversations.before_updated_at is null
              or (c.updated_at, c.id) < (list_conversations.before_updated_at, list_conversations.before_id)
          )
        order by c.updated_at desc, c.id desc
        limit least(greatest(list_conversations.page_size, 1), 200) + 1
    ),
    kept as (
        select *
        from page
        order by updated_at desc, id desc
        limit least(greatest(list_conversations.page_size, 1), 200)
    )
    select jsonb_build_object(
        'conversations', (
            select coalesce(jsonb_agg(to_jsonb(k) order by k.updated_at desc, k.id desc), '[]')
            from kept as k
        ),
        'has_more', (select count(*) from page) > (select count(*) from kept)
    );
$$;

revoke all on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid)
    to authenticated, service_role;
comment on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid) is
    'Conversations by last activity, newest first; the next page starts before the last row of this one.';

create function public.create_conversation(
    title text default 'New Chat',
    project_id uuid default null,
    metadata jsonb default '{}'
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
    insert into public.conversations (title, project_id, metadata)
    values (create_conversation.title, create_conversation.project_id, create_conversation.metadata)
    returning to_jsonb(conversations);
$$;

revoke all on function public.create_conversation(text, uuid, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.create_conversation(text, uuid, jsonb) to authenticated;
comment on function public.create_conversation(text, uuid, jsonb) is
    'Starts an empty conversation of the caller''s.';

create function public.get_conversation(conversation_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    select to_jsonb(c) into v_conversation
    from public.conversations as c
    where c.id = get_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return v_conversation;
end;
$$;

revoke all on function public.get_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_conversation(uuid) to authenticated, service_role;
comment on function public.get_conversation(uuid) is
    'One conversation''s row. Raises PT404.';

create function public.update_conversation(
    conversation_id uuid,
    title text default null,
    archived boolean default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    update public.conversations as c
    set title = coalesce(update_conversation.title, c.title),
        archived_at = case
            when update_conversation.archived is null then c.archived_at
            when update_conversation.archived then coalesce(c.archived_at, now())
        end
    where c.id = update_conversation.conversation_id
    returning to_jsonb(c) into v_conversation;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return v_conversation;
end;
$$;

revoke all on function public.update_conversation(uuid, text, boolean)
    from public, anon, authenticated, service_role;
grant execute on function public.update_conversation(uuid, text, boolean) to authenticated, service_role;
comment on function public.update_conversation(uuid, text, boolean) is
    'Renames, archives or restores a conversation; what is null stays as it is. Raises PT404.';

create function public.delete_conversation(conversation_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    delete from public.conversations as c
    where c.id = delete_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return jsonb_build_object('id', conversation_id);
end;
$$;

revoke all on function public.delete_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation(uuid) to authenticated, service_role;
comment on function public.delete_conversation(uuid) is
    'Deletes a conversation with its turns and messages, for good. Raises PT404.';

create function public.ping()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object('now', now());
$$;

revoke all on function public.ping() from public, anon, authenticated, service_role;
grant execute on function public.ping() to service_role;
comment on function public.ping() is
    'Does nothing but answer: what a deep health check asks.';
