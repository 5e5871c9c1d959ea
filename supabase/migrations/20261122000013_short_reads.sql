-- Reads that stay as short as what they show, among many users and under the policies. There the
-- planner took the owner and the conversation for two independent facts, and so a conversation for
-- a row or two, whatever its length. All replaced functions keep their grants and comments.

-- A page is a range of seq in one conversation, read by its owner: one index knows all three. By
-- the one on the first two, a page could cost as much as its whole conversation. On a large table it
-- can be built beforehand, by the same statement with `concurrently`, while others write.
create index if not exists idx_messages_conversation_id_user_id_seq
    on public.messages (conversation_id, user_id, seq);

drop index public.idx_messages_conversation_id_user_id;

-- As before, but that the bounds are values: under a policy no index is asked with a coalesce().
-- And what is known by its id is looked up by that alone, behind a fence (offset 0). A page has a
-- size in bytes too, since metadata may be long.
create or replace function public.list_conversations(
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

-- As before, but that a page is the range of seq that it is, rather than the first rows of a longer one.
create or replace function public.export_messages(
    conversation_id uuid,
    after bigint default 0,
    until bigint default null,
    page_size integer default 500,
    page_bytes integer default 1000000
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation public.conversations;
    v_last bigint;
    v_messages jsonb;
begin
    select c.* into v_conversation
    from public.conversations as c
    where c.id = export_messages.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_last := least(
        coalesce(until, v_conversation.last_seq), after + least(greatest(page_size, 1), 1000)
    );

    -- A page has a size in bytes too, so that long messages can't make it a large one: it ends
    -- before the message that would take it over, unless that is its first. Metadata counts as it
    -- is sent: stored, it is compressed.
    with sized as (
        select m.*,
               sum(
                   octet_length(m.content)
                   + coalesce(octet_length(m.generated_code), 0)
                   + octet_length(m.metadata::text)
               ) over (order by m.seq) as bytes_so_far,
               row_number() over (order by m.seq) as place
        from public.messages as m
        where m.conversation_id = v_conversation.id
          and m.seq > export_messages.after
          and m.seq <= v_last
    )
    -- metadata as text: a number in it may have more digits than readers of JSON keep.
    select coalesce(jsonb_agg(
        to_jsonb(s) - 'bytes_so_far' - 'place'
        || jsonb_build_object(
            'metadata', s.metadata::text,
            'turn', (
                select jsonb_build_object(
                    'id', t.id,
                    'status', t.status,
                    'attempt', t.attempt,
                    'idempotency_key', t.idempotency_key,
                    'reply_message_id', t.reply_message_id,
                    'draft', t.draft,
                    'error', t.error::text,
                    'started_at', t.started_at,
                    'finished_at', t.finished_at,
                    'cancel_requested_at', t.cancel_requested_at
                )
                from public.turns as t
                where t.user_message_id = s.id
            )
        )
        order by s.seq
    ), '[]')
    into v_messages
    from sized as s
    where s.place = 1
       or s.bytes_so_far <= page_bytes;

    return jsonb_build_object(
        'conversation',
        to_jsonb(v_conversation) || jsonb_build_object('metadata', v_conversation.metadata::text),
        'messages', v_messages
    );
end;
$$;

-- As before, but for the way to the newest summary, and how far back is read.
create or replace function public.load_history(
    conversation_id uuid,
    history_tokens integer default 100000,
    before bigint default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    c_message_tokens constant integer := 4;
    v_budget constant integer := greatest(history_tokens, 0);
    -- Where not everything fits, one long message does not push out all the others.
    v_longest constant integer := greatest(v_budget / 4, c_message_tokens + 1);
    v_before bigint;
    v_ours uuid[];
    v_summary record;
    v_covered bigint;
    v_room bigint;
    v_from bigint;
    v_until bigint;
    v_row record;
    v_tokens bigint;
    v_whole bigint := 0;
    v_short bigint := 0;
    v_since bigint := 0;
    v_first bigint;
    v_is_whole boolean := false;
    v_messages jsonb;
begin
    select least(before, c.last_seq + 1) into v_before
    from public.conversations as c
    where c.id = load_history.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select coalesce(array_agg(s.id), '{}') into v_ours
    from public.summaries as s
    where s.conversation_id = load_history.conversation_id;

    -- From the summaries to what they cover, by id: there are few of them. The fences keep the
    -- planner from starting at the messages, which it takes for few as well.
    select m.seq, through.seq as covers_to, left(m.content, v_longest * 3) as content,
           (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
    into v_summary
    from public.summaries as s
    cross join lateral (
        select * from public.messages where messages.id = s.id offset 0
    ) as m
    cross join lateral (
        select * from public.messages where messages.id = s.through_message_id offset 0
    ) as through
    where s.conversation_id = load_history.conversation_id
      and m.conversation_id = s.conversation_id
      and through.conversation_id = s.conversation_id
      and through.seq < v_before
    order by through.seq desc
    limit 1;

    v_covered := coalesce(v_summary.covers_to, 0);
    v_room := v_budget - case when v_covered > 0 then least(v_summary.tokens, v_longest) else 0 end;
    if v_room < 0 then
        v_covered := 0;
        v_room := v_budget;
    end if;

    -- From the newest back, a hundred at a time, and no further than the budget reaches.
    v_from := v_before;
    <<back>>
    while v_from > 1 loop
        v_until := v_from;
        v_from := v_from - 100;
        for v_row in
            select m.seq, octet_length(m.content) as bytes
            from public.messages as m
            where m.conversation_id = load_history.conversation_id
              and m.seq >= v_from
              and m.seq < v_until
              and m.id <> all (v_ours)
            order by m.seq desc
        loop
            v_tokens := (v_row.bytes + 2) / 3 + c_message_tokens;
            v_whole := v_whole + v_tokens;
            v_short := v_short + least(v_tokens, v_longest);
            if v_row.seq > v_covered then
                v_since := v_whole;
            end if;
            exit back when v_short > v_budget;
            if v_short <= v_room and v_row.seq > v_covered then
                v_first := v_row.seq;
            end if;
        end loop;
    end loop;

    if v_whole <= v_budget then
        v_is_whole := true;
        v_covered := 0;
        v_first := 1;
    elsif v_covered > 0 and v_since <= v_room then
        v_is_whole := true;
        v_first := v_covered + 1;
    end if;
    v_first := coalesce(v_first, v_before);

    -- A longer one is sent with as many characters as could be within its bytes; who gives it to
    -- the AI cuts it to them.
    select coalesce(jsonb_agg(to_jsonb(h) order by h.seq), '[]') into v_messages
    from (
        select m.seq, m.role,
               case when v_is_whole then m.content else left(m.content, v_longest * 3) end as content,
               case
                   when m.role = 'assistant' and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure
        from public.messages as m
        where m.conversation_id = load_history.conversation_id
          and m.seq >= v_first
          and m.seq < v_before
          and m.id <> all (v_ours)
    ) as h;

    if v_covered > 0 then
        v_messages := jsonb_build_array(jsonb_build_object(
            'seq', v_summary.seq,
            'role', 'system',
            'content', v_summary.content,
            'is_summary', true
        )) || v_messages;
    end if;

    return jsonb_build_object(
        'history', v_messages,
        'context', jsonb_build_object(
            'covers_to', v_covered,
            'omitted', v_first - 1 - v_covered - (
                select count(*)
                from unnest(v_ours) as ours (id)
                cross join lateral (
                    select seq from public.messages where messages.id = ours.id offset 0
                ) as m
                where m.seq > v_covered
                  and m.seq < v_first
            ),
            'longest', v_longest,
            'is_whole', v_is_whole,
            'since_tokens', v_since
        )
    );
end;
$$;
