-- As before, but that the newest summary is found by ids alone. Where most conversations are of two
-- messages, the planner takes every one for as short, and joined all of a long one with itself: what
-- is due for a summary took a minute to read. Grants and comment stay as they are.

create or replace function public.load_unsummarised(
    conversation_id uuid,
    history_tokens integer,
    after bigint default null
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
    -- A quarter of the budget stays word for word, so the newest two messages do at least.
    v_budget constant integer := greatest(history_tokens, 0);
    v_kept constant integer := v_budget / 4;
    v_page constant integer := v_budget / 2;
    v_longest constant integer := greatest(v_budget / 8, c_message_tokens + 1);
    v_ours uuid[];
    v_previous text;
    v_covered bigint;
    v_row record;
    v_tokens bigint := 0;
    v_through bigint := 0;
    v_last bigint;
    v_messages jsonb;
begin
    perform 1 from public.conversations as c where c.id = load_unsummarised.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select coalesce(array_agg(s.id), '{}') into v_ours
    from public.summaries as s
    where s.conversation_id = load_unsummarised.conversation_id;

    select m.content, through.seq
    into v_previous, v_covered
    from public.summaries as s
    cross join lateral (
        select * from public.messages where messages.id = s.id offset 0
    ) as m
    cross join lateral (
        select * from public.messages where messages.id = s.through_message_id offset 0
    ) as through
    where s.conversation_id = load_unsummarised.conversation_id
      and m.conversation_id = s.conversation_id
      and through.conversation_id = s.conversation_id
    order by through.seq desc
    limit 1;

    v_covered := greatest(coalesce(v_covered, 0), coalesce(after, 0));

    for v_row in
        select m.seq, octet_length(m.content) as bytes
        from public.messages as m
        where m.conversation_id = load_unsummarised.conversation_id
          and m.seq > v_covered
          and m.id <> all (v_ours)
        order by m.seq desc
        limit v_kept / c_message_tokens + 1
    loop
        v_tokens := v_tokens + least((v_row.bytes + 2) / 3 + c_message_tokens, v_longest);
        if v_tokens > v_kept then
            v_through := v_row.seq;
            exit;
        end if;
    end loop;

    v_tokens := 0;
    for v_row in
        select m.seq, octet_length(m.content) as bytes
        from public.messages as m
        where m.conversation_id = load_unsummarised.conversation_id
          and m.seq > v_covered
          and m.seq <= v_through
          and m.id <> all (v_ours)
        order by m.seq
        limit v_page / c_message_tokens + 1
    loop
        v_tokens := v_tokens + least((v_row.bytes + 2) / 3 + c_message_tokens, v_longest);
        exit when v_tokens > v_page and v_last is not null;
        v_last := v_row.seq;
    end loop;

    select coalesce(jsonb_agg(to_jsonb(h) order by h.seq), '[]') into v_messages
    from (
        select m.seq, m.role, left(m.content, v_longest * 3) as content,
               case
                   when m.role = 'assistant' and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure
        from public.messages as m
        where m.conversation_id = load_unsummarised.conversation_id
          and m.seq > v_covered
          and m.seq <= v_last
          and m.id <> all (v_ours)
    ) as h;

    return jsonb_build_object(
        'previous', v_previous,
        'messages', v_messages,
        'covers_to', v_last,
        'longest', v_longest,
        'has_more', coalesce(v_last < v_through, false)
    );
end;
$$;
