-- A page of a conversation is bounded in bytes, as a page of an export is. Fifty messages of a few
-- megabytes took longer than a call to the store may, so that such a conversation could not be
-- opened at all; and beyond a quarter of a gigabyte there is no jsonb that could hold them. Grants
-- stay.

create or replace function public.load_conversation(
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

comment on function public.load_conversation(uuid, integer, bigint, bigint, uuid) is
    'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message. At most page_size rows and, beyond the first, eight megabytes. Raises PT404.';
