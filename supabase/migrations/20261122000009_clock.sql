-- Whether a lease is over is for the clock that wrote it: this server's. load_conversation says so
-- itself, as load_turn does, so that no reader compares a lease with a clock of its own.
-- Grants and comment stay as they are.

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
