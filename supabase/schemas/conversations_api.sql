-- What a signed-in user reads and manages. All of it runs as the caller, under row-level
-- security, so none of these functions can show more than a plain select would.

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

revoke all on function public.create_conversation from public, anon, authenticated, service_role;
grant execute on function public.create_conversation to authenticated;
comment on function public.create_conversation is 'Starts an empty conversation of the caller''s.';

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

revoke all on function public.get_conversation from public, anon, authenticated, service_role;
grant execute on function public.get_conversation to authenticated, service_role;
comment on function public.get_conversation is 'One conversation''s row. Raises PT404.';

-- A page is bounded in bytes too, as one of an export is: fifty messages of a few megabytes would take
-- longer than a call may, and beyond a quarter of a gigabyte no jsonb could hold them.
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
    c_page_bytes constant integer := 8000000;
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_conversation public.conversations;
    v_first bigint;
    v_messages jsonb;
    v_oldest bigint;
    v_newest bigint;
    v_around bigint;
    v_place uuid;
    v_nearest bigint;
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
        -- By its id alone: under a policy, a second fact may lead to a slower index.
        select m.seq, m.conversation_id into v_around, v_place
        from public.messages as m
        where m.id = load_conversation.around;

        if v_place is distinct from v_conversation.id then
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
    -- was asked for, and always that one. Metadata counts as it is sent: stored, it is compressed.
    with sized as (
        select m.seq,
               sum(
                   octet_length(m.content)
                   + coalesce(octet_length(m.generated_code), 0)
                   + octet_length(m.metadata::text)
               ) over nearest_first as bytes_so_far,
               row_number() over nearest_first as place
        from public.messages as m
        where m.conversation_id = v_conversation.id
          and m.seq between v_first and v_first + v_limit - 1
          and (before is null or m.seq < before)
        window nearest_first as (order by abs(m.seq - v_nearest), m.seq)
    )
    select min(s.seq), max(s.seq) into v_oldest, v_newest
    from sized as s
    where s.place = 1
       or s.bytes_so_far <= c_page_bytes;

    select coalesce(jsonb_agg(to_jsonb(m) order by m.seq), '[]') into v_messages
    from public.messages as m
    where m.conversation_id = v_conversation.id
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
        'open_turn', (
            select jsonb_build_object(
                'turn_id', t.id,
                'status', t.status,
                'attempt', t.attempt,
                'user_message_id', t.user_message_id,
                'draft', t.draft,
                'offset', char_length(t.draft),
                'started_at', t.started_at,
                'lease_expires_at', t.lease_expires_at,
                'is_expired', t.lease_expires_at <= now()
            )
            from public.turns as t
            where t.conversation_id = v_conversation.id
              and t.status = 'running'
        )
    );
end;
$$;

revoke all on function public.load_conversation from public, anon, authenticated, service_role;
grant execute on function public.load_conversation to authenticated, service_role;
comment on function public.load_conversation is
    'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message. At most page_size rows and, beyond the first, eight megabytes. Raises PT404.';

-- The bounds are values: under a policy no index is asked with a coalesce(). What is known by its id
-- is looked up by that alone, behind a fence (offset 0). A page has a size in bytes too, since
-- metadata may be long.
create function public.list_conversations(
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null,
    as_of timestamptz default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_before constant timestamptz := coalesce(before_updated_at, 'infinity');
    v_before_id constant uuid := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    v_newest constant timestamptz := coalesce(as_of, 'infinity');
begin
    return (
        with unmoved as (
            select c.id, c.updated_at as place
            from public.conversations as c
            where (c.archived_at is not null) = list_conversations.archived
              and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
              and (c.updated_at, c.id) < (v_before, v_before_id)
              and c.updated_at <= v_newest
            order by c.updated_at desc, c.id desc
            limit v_limit + 1
        ),
        moved as (
            select c.id, stood.place
            from public.conversations as c
            cross join lateral (
                select coalesce(
                    (
                        -- In a conversation, created_at grows with seq.
                        select m.created_at
                        from public.messages as m
                        where m.conversation_id = c.id
                          and m.created_at <= list_conversations.as_of
                        order by m.seq desc
                        limit 1
                    ),
                    c.created_at
                ) as place
            ) as stood
            where (c.archived_at is not null) = list_conversations.archived
              and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
              and c.updated_at > list_conversations.as_of
              -- No page ends behind as_of, so nothing that came later is here. What counts is not
              -- created_at: an imported conversation may say that its messages are older.
              and (stood.place, c.id)
                  < (list_conversations.before_updated_at, list_conversations.before_id)
        ),
        page as (
            select id, place, row_number() over (order by place desc, id desc) as number
            from (select * from unmoved union all select * from moved) as both_kinds
            order by place desc, id desc
            limit v_limit + 1
        ),
        sized as (
            select p.*, sum(c.bytes) over (order by p.number) as bytes_so_far
            from page as p
            cross join lateral (
                select octet_length(metadata::text)
                    + coalesce(octet_length(imported::text), 0) as bytes
                from public.conversations
                where conversations.id = p.id
                offset 0
            ) as c
            where p.number <= v_limit
        ),
        kept as (
            select id, place, number
            from sized
            where number = 1
               or bytes_so_far <= c_page_bytes
        )
        select jsonb_build_object(
            'conversations', (
                select coalesce(jsonb_agg(to_jsonb(c) order by k.number), '[]')
                from kept as k
                cross join lateral (
                    select * from public.conversations where conversations.id = k.id offset 0
                ) as c
            ),
            'has_more', (select count(*) from page) > (select count(*) from kept),
            'next', (
                select jsonb_build_object(
                    'before_updated_at', k.place,
                    'before_id', k.id,
                    'as_of', coalesce(list_conversations.as_of, (select max(place) from kept))
                )
                from kept as k
                where (select count(*) from page) > (select count(*) from kept)
                order by k.number desc
                limit 1
            )
        )
    );
end;
$$;

revoke all on function public.list_conversations from public, anon, authenticated, service_role;
grant execute on function public.list_conversations to authenticated, service_role;
comment on function public.list_conversations is
    'Conversations by last activity, newest first. next has the arguments of the page that follows: it goes on with the list as it was at as_of, each conversation once, wherever it has moved to since.';

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

revoke all on function public.update_conversation from public, anon, authenticated, service_role;
grant execute on function public.update_conversation to authenticated, service_role;
comment on function public.update_conversation is
    'Renames, archives or restores a conversation; what is null stays as it is. Raises PT404.';

-- Each message takes checks of its own to remove: two hundred thousand need longer than a signed-in
-- user's statement may on a hosted project. The Data API takes the limit from here.
create function public.delete_conversation(conversation_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '10min'
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

revoke all on function public.delete_conversation from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation to authenticated, service_role;
comment on function public.delete_conversation is
    'Deletes a conversation with its turns and messages, for good. Raises PT404.';
