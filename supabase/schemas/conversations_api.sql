-- What a signed-in user reads and manages. All of it runs as the caller, under row-level
-- security, so none of these functions can show more than a plain select would.

create function public.create_conversation(
    user_id uuid,
    title text default 'New Chat',
    project_id uuid default null,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    perform private.require_self(create_conversation.user_id);

    insert into public.conversations (user_id, title, project_id, metadata)
    values (create_conversation.user_id, create_conversation.title,
            create_conversation.project_id, create_conversation.metadata)
    returning to_jsonb(conversations) - 'deleting_since' into v_conversation;

    return v_conversation;
end;
$$;

revoke all on function public.create_conversation from public, anon, authenticated, service_role;
grant execute on function public.create_conversation to authenticated;
comment on function public.create_conversation is 'Starts an empty conversation of this user''s.';

create function public.get_conversation(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    perform private.require_self(get_conversation.user_id);

    select to_jsonb(c) into v_conversation
    from private.conversations as c
    where c.user_id = get_conversation.user_id and c.id = get_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return v_conversation;
end;
$$;

revoke all on function public.get_conversation from public, anon, authenticated, service_role;
grant execute on function public.get_conversation to authenticated, service_role;
comment on function public.get_conversation is 'One conversation''s row. Raises PT404.';

-- A page is bounded in bytes too, as one of an export is: fifty messages of a few megabytes would take
-- longer than a call may, and beyond a quarter of a gigabyte no jsonb could hold them.
create function public.load_conversation(
    user_id uuid,
    conversation_id uuid,
    page_size integer default 50,
    before bigint default null,
    after bigint default null,
    around uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    c_row_bytes constant integer := 500; -- what a message's row has beside what is measured
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_conversation private.conversations;
    v_open_turn jsonb;
    v_room integer;
    v_first bigint;
    v_messages jsonb;
    v_oldest bigint;
    v_newest bigint;
    v_around bigint;
    v_nearest bigint;
begin
    perform private.require_self(load_conversation.user_id);

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = load_conversation.user_id and c.id = load_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select jsonb_build_object(
        'turn_id', t.id,
        'status', t.status,
        'attempt', t.attempt,
        'user_message_id', (
            select m.id
            from public.messages as m
            where m.user_id = t.user_id and m.turn_id = t.id
              and m.role = 'user'
        ),
        'draft', t.draft,
        'draft_parts', private.parts_of_draft(t.draft, t.draft_parts),
        'offset', char_length(t.draft),
        'started_at', t.started_at,
        'lease_expires_at', t.lease_expires_at,
        'is_expired', t.lease_expires_at <= now()
    )
    into v_open_turn
    from public.turns as t
    where t.user_id = load_conversation.user_id
      and t.conversation_id = load_conversation.conversation_id
      and t.status = 'running';

    v_room := c_page_bytes - octet_length(to_jsonb(v_conversation)::text)
        - coalesce(octet_length(v_open_turn::text), 0);

    -- seq has no gaps, so a page is a range of it.
    if around is not null then
        -- By its id alone, lest a conversation that is taken for short is read through for it.
        select n.seq into v_around
        from (
            select m.seq, m.conversation_id
            from public.messages as m
            where m.user_id = load_conversation.user_id and m.id = load_conversation.around
            offset 0
        ) as n
        where n.conversation_id = load_conversation.conversation_id;

        if not found then
            raise exception 'Message not found.'
                using errcode = 'PT404', detail = 'message_not_found';
        end if;
        v_first := greatest(
            1, least(v_around - v_limit / 2, v_conversation.last_seq - v_limit + 1)
        );
        v_nearest := v_around;
    elsif after is not null then
        v_first := least(greatest(after, 0), v_conversation.last_seq) + 1;
        v_nearest := v_first;
    else
        v_first := least(
            greatest(coalesce(before, v_conversation.last_seq + 1), 1), v_conversation.last_seq + 1
        ) - v_limit;
        v_nearest := v_first + v_limit - 1;
    end if;

    -- A page has a size in bytes too: of long messages it holds those that are nearest to where it
    -- was asked for, and always that one, for which there is room in each page. All counts as it is
    -- sent, with what JSON escapes. What has no room by its plain length isn't read for that.
    with near as (
        select m.seq, m.content, m.generated_code, m.metadata, m.parts, m.native,
               sum(octet_length(m.content) + coalesce(octet_length(m.generated_code), 0))
                   over nearest_first as plain_bytes_so_far,
               row_number() over nearest_first as place
        from public.messages as m
        where m.user_id = load_conversation.user_id
          and m.conversation_id = load_conversation.conversation_id
          and m.seq between v_first and v_first + v_limit - 1
          and (before is null or m.seq < before)
        window nearest_first as (order by abs(m.seq - v_nearest), m.seq)
    ),
    sized as (
        select n.seq, n.place,
               sum(
                   octet_length(to_json(n.content)::text)
                   + coalesce(octet_length(to_json(n.generated_code)::text), 0)
                   + octet_length(n.metadata::text)
                   + octet_length(n.parts::text)
                   + coalesce(octet_length(n.native::text), 0)
                   + c_row_bytes
               ) over (order by n.place) as bytes_so_far
        from near as n
        where n.place = 1
           or n.plain_bytes_so_far <= v_room
    )
    select min(s.seq), max(s.seq) into v_oldest, v_newest
    from sized as s
    where s.place = 1
       or s.bytes_so_far <= v_room;

    select coalesce(jsonb_agg(to_jsonb(m) order by m.seq), '[]') into v_messages
    from public.messages as m
    where m.user_id = load_conversation.user_id
      and m.conversation_id = load_conversation.conversation_id
      and m.seq between v_oldest and v_newest;

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
        'open_turn', v_open_turn
    );
end;
$$;

revoke all on function public.load_conversation from public, anon, authenticated, service_role;
grant execute on function public.load_conversation to authenticated, service_role;
comment on function public.load_conversation is 'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message. At most page_size rows and eight megabytes. Raises PT404.';

-- A plain keyset: rows come in the order of one index, from one place on. A conversation that is
-- written to meanwhile is at the top when somebody looks again. Sorting is switched off, so that
-- whatever the statistics say there is one plan: it reads the page's rows and no others. A page has
-- a size in bytes too, since metadata may be long.
create function public.list_conversations(
    user_id uuid,
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set enable_sort = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    c_row_bytes constant integer := 1500; -- what a row has beside what is measured, its title included
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_before constant timestamptz := coalesce(before_updated_at, 'infinity');
    v_before_id constant uuid := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
    perform private.require_self(list_conversations.user_id);
    return (
        with page as (
            select c as conversation,
                   row_number() over newest_first as number,
                   sum(
                       octet_length(c.metadata::text)
                       + coalesce(octet_length(c.imported::text), 0)
                       + c_row_bytes
                   ) over newest_first as bytes_so_far
            from (
                select *
                from private.conversations as c
                where c.user_id = list_conversations.user_id
                  and (c.archived_at is not null) = list_conversations.archived
                  and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
                  and (c.updated_at, c.id) < (v_before, v_before_id)
                order by c.updated_at desc, c.id desc
                limit v_limit + 1
            ) as c
            window newest_first as (order by c.updated_at desc, c.id desc)
        ),
        kept as (
            select *
            from page
            where number = 1
               or number <= v_limit and bytes_so_far <= c_page_bytes
        )
        select jsonb_build_object(
            'conversations', coalesce(jsonb_agg(to_jsonb(k.conversation) order by k.number), '[]'),
            'has_more', (select count(*) from page) > count(*),
            'next', case when (select count(*) from page) > count(*) then (
                select jsonb_build_object(
                    'before_updated_at', (last.conversation).updated_at,
                    'before_id', (last.conversation).id
                )
                from kept as last
                order by last.number desc
                limit 1
            ) end
        )
        from kept as k
    );
end;
$$;

revoke all on function public.list_conversations from public, anon, authenticated, service_role;
grant execute on function public.list_conversations to authenticated, service_role;
comment on function public.list_conversations is 'A user''s conversations by last activity, newest first. next has the arguments of the page that follows.';

create function public.update_conversation(
    user_id uuid,
    conversation_id uuid,
    title text default null,
    archived boolean default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    perform private.require_self(update_conversation.user_id);

    update private.conversations as c
    set title = coalesce(update_conversation.title, c.title),
        archived_at = case
            when update_conversation.archived is null then c.archived_at
            when update_conversation.archived then coalesce(c.archived_at, now())
        end
    where c.user_id = update_conversation.user_id and c.id = update_conversation.conversation_id
    returning to_jsonb(c) into v_conversation;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return v_conversation;
end;
$$;

revoke all on function public.update_conversation from public, anon, authenticated, service_role;
grant execute on function public.update_conversation to authenticated, service_role;
comment on function public.update_conversation is 'Renames, archives or restores a conversation; what is null stays as it is. Raises PT404.';
