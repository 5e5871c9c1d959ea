-- A summary is one more message. What it covers stays stored, and is shown as ever.
create table public.summaries (
    id uuid not null,
    conversation_id uuid not null,
    user_id uuid not null,
    through_message_id uuid not null,
    created_at timestamptz not null default now(),

    constraint summaries_pkey primary key (user_id, id),
    constraint summaries_user_id_through_message_id_key unique (user_id, through_message_id),
    constraint summaries_user_id_id_fkey foreign key (user_id, id)
        references public.messages (user_id, id) on delete cascade,
    constraint summaries_user_id_through_message_id_fkey foreign key (user_id, through_message_id)
        references public.messages (user_id, id) on delete cascade,
    constraint summaries_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade
);

create index idx_summaries_user_id_conversation_id on public.summaries (user_id, conversation_id);

alter table public.summaries enable row level security;

create policy select_own on public.summaries
    for select to authenticated
    using (
        user_id = (select auth.uid())
        and (
            (select cardinality(private.being_deleted((select auth.uid()))) = 0)
            or conversation_id <> all ((select private.being_deleted((select auth.uid())))::uuid[])
        )
    );

-- Withheld from clients: every write. Only this table says what the AI may take for a summary of
-- ours: is_summary and metadata may come from anywhere that messages are copied from.
revoke all on table public.summaries from public, anon, authenticated, service_role;
grant select on table public.summaries to authenticated;
grant select, insert on table public.summaries to service_role;

comment on table public.summaries is 'Which messages are summaries that the backend wrote, and the newest message that each covers. Clients may read their own. No policy for insert, update, delete: write_summary writes it.';
comment on column public.summaries.id is 'The message that is the summary.';
comment on column public.summaries.through_message_id is 'The newest message it covers; it covers every one before on the path to that, too. Paths without that message have no use for it. A message rather than a seq, since a repair may renumber messages.';

-- By ids alone, from the summaries, of which there are few, to what they cover: where most conversations
-- are of two messages, the planner takes every one for as short, and would join all of a long one with
-- itself.
create function private.newest_summary(
    user_id uuid,
    conversation_id uuid,
    inout path int8multirange,
    out seq bigint,
    out content text,
    out through_seq bigint
)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    select (array_agg(m.seq order by through.seq desc) filter (where through.seq <@ path))[1],
           (array_agg(m.content order by through.seq desc) filter (where through.seq <@ path))[1],
           max(through.seq) filter (where through.seq <@ path),
           path - coalesce(range_agg(int8range(m.seq, m.seq, '[]')), '{}')
    into seq, content, through_seq, path
    from public.summaries as s
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = s.user_id and messages.id = s.id
        offset 0
    ) as m
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = s.user_id and messages.id = s.through_message_id
        offset 0
    ) as through
    where s.user_id = newest_summary.user_id and s.conversation_id = newest_summary.conversation_id
      and m.conversation_id = s.conversation_id
      and through.conversation_id = s.conversation_id;
end;
$$;

grant execute on function private.newest_summary to authenticated, service_role;
comment on function private.newest_summary is 'The newest summary of a path, which is one whose newest message is on it: its place, its text, and the place up to which it covers, nulls where there is none; and the path without any summary.';

create function public.load_unsummarised(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set enable_sort = off -- as with a history
set jit = off
as $$
#variable_conflict use_column
declare
    c_message_tokens constant integer := 4;
    -- A quarter of the budget stays word for word, so the newest two messages do at least.
    v_budget constant integer := greatest(history_tokens, 0);
    v_kept constant integer := v_budget / 4;
    v_page constant integer := v_budget / 2;
    v_longest constant integer := greatest(v_budget / 8, c_message_tokens + 1);
    v_previous text;
    v_covered bigint;
    v_row record;
    v_tokens bigint := 0;
    v_through bigint := 0;
    v_last bigint;
    v_conversation private.conversations;
    v_path int8multirange;
    v_messages jsonb[] := '{}';
begin
    v_conversation := private.find_conversation(user_id, conversation_id);

    -- Of the path that was written to last: the reply that made this due is on it.
    select n.path, n.content, coalesce(n.through_seq, 0)
    into v_path, v_previous, v_covered
    from private.newest_summary(
        user_id, conversation_id,
        private.path_to(user_id, v_conversation, v_conversation.last_branch)
    ) as n;

    v_path := v_path * int8multirange(int8range(v_covered + 1, null));

    for v_row in
        select m.seq, (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
        from (select part from unnest(v_path) as part order by part desc) as newest_first (part)
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_unsummarised.user_id
              and messages.conversation_id = load_unsummarised.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq desc
            offset 0
        ) as m
    loop
        v_tokens := v_tokens + least(v_row.tokens, v_longest);
        if v_tokens > v_kept then
            v_through := v_row.seq;
            exit;
        end if;
    end loop;

    v_tokens := 0;
    for v_row in
        select m.seq, m.role, left(m.content, v_longest * 3) as content,
               case
                   when m.role = 'assistant' and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure,
               (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
        from (
            select part
            from unnest(v_path * int8multirange(int8range(null, v_through + 1))) as part
            order by part
        ) as oldest_first (part)
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_unsummarised.user_id
              and messages.conversation_id = load_unsummarised.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq
            offset 0
        ) as m
    loop
        v_tokens := v_tokens + least(v_row.tokens, v_longest);
        exit when v_tokens > v_page and v_last is not null;
        v_last := v_row.seq;
        v_messages := v_messages || to_jsonb(v_row) - 'tokens';
    end loop;

    return jsonb_build_object(
        'previous', v_previous,
        'messages', to_jsonb(v_messages),
        'covers_to', v_last,
        'longest', v_longest
    );
end;
$$;

revoke all on function public.load_unsummarised from public, anon, authenticated, service_role;
grant execute on function public.load_unsummarised to service_role;
comment on function public.load_unsummarised is 'Of the path that was written to last, the oldest messages that no summary covers, and that are behind the newest quarter of the budget: at most half of the budget at once. Answers {previous, messages, covers_to, longest}. Raises PT404.';

create function public.write_summary(
    user_id uuid,
    conversation_id uuid,
    message_id uuid,
    covers_to bigint,
    content text,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_here private.conversations;
    v_path int8multirange;
    v_through_id uuid;
    v_message jsonb;
begin
    select c.* into v_here
    from private.conversations as c
    where c.user_id = write_summary.user_id and c.id = write_summary.conversation_id
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select m.id into v_through_id
    from public.messages as m
    where m.user_id = write_summary.user_id and m.conversation_id = write_summary.conversation_id
      and m.seq = write_summary.covers_to;

    if not found then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    end if;

    v_path := private.path_to(user_id, v_here, v_here.last_branch);

    if not covers_to <@ v_path then
        -- Somebody has gone on with another path, which has no use for it.
        return jsonb_build_object('outcome', 'elsewhere');
    elsif exists (
        select 1
        from public.summaries as s
        join public.messages as through
            on through.user_id = s.user_id and through.id = s.through_message_id
        where s.user_id = write_summary.user_id
          and s.conversation_id = write_summary.conversation_id
          and through.seq >= write_summary.covers_to
          and through.seq <@ v_path
    ) then
        return jsonb_build_object('outcome', 'known');
    elsif v_here.active_branch <> v_here.last_branch
        or exists (
            select 1
            from public.turns as t
            where t.user_id = write_summary.user_id
              and t.conversation_id = write_summary.conversation_id
              and t.status = 'running'
        )
    then
        -- Nothing comes between a request and its reply, nor begins a branch but what was said.
        return jsonb_build_object('outcome', 'busy');
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, metadata, is_summary)
    values
        (write_summary.message_id, write_summary.conversation_id, write_summary.user_id, 'system',
         write_summary.content,
         write_summary.metadata || jsonb_build_object(
             'covers', jsonb_build_object('fromSeq', 1, 'toSeq', write_summary.covers_to)
         ),
         true)
    returning to_jsonb(m) into v_message;

    insert into public.summaries (id, conversation_id, user_id, through_message_id)
    values (write_summary.message_id, write_summary.conversation_id, write_summary.user_id, v_through_id);

    return jsonb_build_object('outcome', 'written', 'message', v_message);
end;
$$;

revoke all on function public.write_summary from public, anon, authenticated, service_role;
grant execute on function public.write_summary to service_role;
comment on function public.write_summary is 'Adds a summary of everything up to a seq as a system message, to the path that was written to last. Answers outcome written, known where as much is covered already, busy while a turn runs or another path is active, or elsewhere for a seq that is not on that path. Raises PT404.';
