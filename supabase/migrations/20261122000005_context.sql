-- Context that fits: the AI is given the whole history while it fits a budget of tokens; beyond it,
-- the newest summary and everything since. A summary is one more message. What it covers stays
-- stored, and is shown as ever.
--
-- Tokens are estimated as a third of the bytes in UTF-8, rounded up, and four more for each message:
-- one token for a CJK character, one for three letters of English or code, which really take four or
-- more. A length in bytes is known without reading the text itself. shared/engine/tokens.py counts
-- the same.

create table public.summaries (
    id uuid not null,
    conversation_id uuid not null,
    user_id uuid not null,
    through_message_id uuid not null,
    created_at timestamptz not null default now(),

    constraint summaries_pkey primary key (id),
    constraint summaries_through_message_id_key unique (through_message_id),
    constraint summaries_id_fkey foreign key (id)
        references public.messages (id) on delete cascade,
    constraint summaries_through_message_id_fkey foreign key (through_message_id)
        references public.messages (id) on delete cascade,
    constraint summaries_conversation_id_user_id_fkey foreign key (conversation_id, user_id)
        references public.conversations (id, user_id) on delete cascade
);

create index idx_summaries_conversation_id
    on public.summaries (conversation_id, user_id);

alter table public.summaries enable row level security;

create policy select_own on public.summaries
    for select to authenticated
    using (user_id = (select auth.uid()));

-- Withheld from clients: every write. What the AI takes for a summary of ours is told by this
-- table alone: is_summary and metadata may come from anywhere that messages are copied from.
revoke all on table public.summaries from public, anon, authenticated, service_role;
grant select on table public.summaries to authenticated;
grant select, insert on table public.summaries to service_role;

comment on table public.summaries is
    'Which messages are summaries that the backend wrote, and the newest message that each covers. Clients may read their own. No policy for insert, update, delete: write_summary writes it.';
comment on column public.summaries.id is
    'The message that is the summary.';
comment on column public.summaries.through_message_id is
    'The newest message it covers; it covers every one before, too. A message rather than a seq, since a repair may number messages anew.';

create function public.load_history(
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

    select m.seq, through.seq as covers_to, left(m.content, v_longest * 3) as content,
           (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
    into v_summary
    from public.summaries as s
    join public.messages as m
        on m.id = s.id and m.conversation_id = s.conversation_id
    join public.messages as through
        on through.id = s.through_message_id and through.conversation_id = s.conversation_id
    where s.conversation_id = load_history.conversation_id
      and through.seq < v_before
    order by through.seq desc
    limit 1;

    v_covered := coalesce(v_summary.covers_to, 0);
    v_room := v_budget - case when v_covered > 0 then least(v_summary.tokens, v_longest) else 0 end;
    if v_room < 0 then
        v_covered := 0;
        v_room := v_budget;
    end if;

    -- From the newest back, and no further than the budget reaches.
    for v_row in
        select m.seq, octet_length(m.content) as bytes
        from public.messages as m
        where m.conversation_id = load_history.conversation_id
          and m.seq < v_before
          and m.id <> all (v_ours)
        order by m.seq desc
        limit v_budget / c_message_tokens + 1
    loop
        v_tokens := (v_row.bytes + 2) / 3 + c_message_tokens;
        v_whole := v_whole + v_tokens;
        v_short := v_short + least(v_tokens, v_longest);
        if v_row.seq > v_covered then
            v_since := v_whole;
        end if;
        exit when v_short > v_budget;
        if v_short <= v_room and v_row.seq > v_covered then
            v_first := v_row.seq;
        end if;
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
                from public.messages as m
                where m.id = any (v_ours)
                  and m.seq > v_covered
                  and m.seq < v_first
            ),
            'longest', v_longest,
            'is_whole', v_is_whole,
            'since_tokens', v_since
        )
    );
end;
$$;

revoke all on function public.load_history(uuid, integer, bigint)
    from public, anon, authenticated, service_role;
grant execute on function public.load_history(uuid, integer, bigint) to authenticated, service_role;
comment on function public.load_history(uuid, integer, bigint) is
    'What the AI is given of a conversation before a seq: all of it within the budget, else the newest summary and everything since, else as much of that as fits. Answers {history, context: {covers_to, omitted, longest, is_whole, since_tokens}}: what the summary covers, how many messages are left out, to how many tokens the summary and, unless all are whole, each message is to be cut, how much came since the newest summary. Raises PT404.';

create function public.load_unsummarised(
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
    join public.messages as m
        on m.id = s.id and m.conversation_id = s.conversation_id
    join public.messages as through
        on through.id = s.through_message_id and through.conversation_id = s.conversation_id
    where s.conversation_id = load_unsummarised.conversation_id
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

revoke all on function public.load_unsummarised(uuid, integer, bigint)
    from public, anon, authenticated, service_role;
grant execute on function public.load_unsummarised(uuid, integer, bigint) to service_role;
comment on function public.load_unsummarised(uuid, integer, bigint) is
    'The oldest messages that no summary covers, and that are behind the newest quarter of the budget: at most half of the budget at once, from behind a seq on. Answers {previous, messages, covers_to, longest, has_more}. Raises PT404.';

create function public.write_summary(
    conversation_id uuid,
    message_id uuid,
    covers_to bigint,
    content text,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_user_id uuid;
    v_through_id uuid;
    v_message jsonb;
begin
    select c.user_id into v_user_id
    from public.conversations as c
    where c.id = write_summary.conversation_id
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select m.id into v_through_id
    from public.messages as m
    where m.conversation_id = write_summary.conversation_id
      and m.seq = write_summary.covers_to;

    if not found then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    end if;

    if exists (
        select 1
        from public.summaries as s
        join public.messages as through on through.id = s.through_message_id
        where s.conversation_id = write_summary.conversation_id
          and through.seq >= write_summary.covers_to
    ) then
        return jsonb_build_object('outcome', 'known');
    elsif exists (
        select 1
        from public.turns as t
        where t.conversation_id = write_summary.conversation_id
          and t.status = 'running'
    ) then
        -- Nothing comes between a request and its reply.
        return jsonb_build_object('outcome', 'busy');
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, metadata, is_summary)
    values
        (write_summary.message_id, write_summary.conversation_id, v_user_id, 'system',
         write_summary.content,
         write_summary.metadata || jsonb_build_object(
             'covers', jsonb_build_object('fromSeq', 1, 'toSeq', write_summary.covers_to)
         ),
         true)
    returning to_jsonb(m) into v_message;

    insert into public.summaries (id, conversation_id, user_id, through_message_id)
    values (write_summary.message_id, write_summary.conversation_id, v_user_id, v_through_id);

    return jsonb_build_object('outcome', 'written', 'message', v_message);
end;
$$;

revoke all on function public.write_summary(uuid, uuid, bigint, text, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.write_summary(uuid, uuid, bigint, text, jsonb) to service_role;
comment on function public.write_summary(uuid, uuid, bigint, text, jsonb) is
    'Adds a summary of everything up to a seq as a system message. Answers outcome written, known where as much is covered already, or busy while a turn runs. Raises PT404.';

-- The same three functions as before, with a budget at the end of their parameters. Without it
-- they answer as they did, for functions that are deployed later than this.
drop function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer);
drop function public.resume_turn(uuid, integer, integer);
drop function public.describe_turn(uuid, text, integer);

create function public.describe_turn(
    turn_id uuid,
    outcome text,
    history_limit integer default 0,
    history_tokens integer default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'outcome', outcome,
        'turn', to_jsonb(t) - 'request_hash' - 'draft',
        'conversation', to_jsonb(c),
        'user_message', to_jsonb(u),
        'reply', to_jsonb(r),
        'history', (
            select coalesce(jsonb_agg(to_jsonb(h) order by h.seq), '[]')
            from (
                select m.seq, m.role, m.content, m.is_summary
                from public.messages as m
                where m.conversation_id = t.conversation_id
                  and m.seq < u.seq
                order by m.seq desc
                limit history_limit
            ) as h
        )
    ) || case
        when history_tokens is null then '{}'::jsonb
        else public.load_history(t.conversation_id, history_tokens, u.seq)
    end
    from public.turns as t
    join public.conversations as c on c.id = t.conversation_id
    join public.messages as u on u.id = t.user_message_id
    left join public.messages as r on r.id = t.reply_message_id
    where t.id = describe_turn.turn_id;
$$;

revoke all on function public.describe_turn(uuid, text, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.describe_turn(uuid, text, integer, integer)
    to authenticated, service_role;
comment on function public.describe_turn(uuid, text, integer, integer) is
    'A turn with its conversation, its messages and the history before it: the newest messages up to a limit, or, with history_tokens, what load_history gives.';

create function public.begin_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    request text,
    message_id uuid,
    conversation_id uuid default null,
    project_id uuid default null,
    metadata jsonb default '{}',
    lease_seconds integer default 120,
    history_limit integer default 200,
    turns_per_minute integer default null,
    turns_per_day integer default null,
    history_tokens integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation_id uuid;
    v_turn public.turns;
    v_lease_expires_at timestamptz;
begin
    -- Callers with one key queue here; each then sees what the one before it committed.
    perform pg_advisory_xact_lock(hashtextextended(user_id::text || '/' || idempotency_key, 0));

    select t.* into v_turn
    from public.turns as t
    where t.user_id = begin_turn.user_id
      and t.idempotency_key = begin_turn.idempotency_key;

    if found then
        if v_turn.request_hash <> begin_turn.request_hash then
            raise exception 'This idempotency key was used for another request.'
                using errcode = 'PT422', detail = 'idempotency_key_reused';
        end if;
        if v_turn.user_message_id = begin_turn.message_id
            and v_turn.status = 'running'
            and v_turn.attempt = 1
        then
            -- The same call again: its answer was lost on the way, so nobody works on it yet.
            return public.describe_turn(v_turn.id, 'started', history_limit, history_tokens);
        end if;
        return public.resume_turn(v_turn.id, lease_seconds, history_limit, history_tokens);
    end if;

    perform public.require_turns_left(user_id, turns_per_minute, turns_per_day);

    if conversation_id is null then
        insert into public.conversations (user_id, project_id, title)
        values (begin_turn.user_id, begin_turn.project_id, public.title_from_request(request))
        returning id into v_conversation_id;
    else
        select c.id into v_conversation_id
        from public.conversations as c
        where c.id = begin_turn.conversation_id
          and c.user_id = begin_turn.user_id
        for update;

        if not found then
            raise exception 'Conversation not found.'
                using errcode = 'PT404', detail = 'conversation_not_found';
        end if;

        select t.* into v_turn
        from public.turns as t
        where t.conversation_id = v_conversation_id
          and t.status = 'running';

        if found and v_turn.lease_expires_at > clock_timestamp() then
            return public.describe_turn(v_turn.id, 'in_progress');
        elsif found then
            perform public.interrupt_turn(v_turn.id);
        end if;
    end if;

    v_lease_expires_at := clock_timestamp() + make_interval(secs => lease_seconds);

    insert into public.turns
        (conversation_id, user_id, idempotency_key, request_hash, lease_expires_at, user_message_id)
    values
        (v_conversation_id, begin_turn.user_id, begin_turn.idempotency_key,
         begin_turn.request_hash, v_lease_expires_at, begin_turn.message_id)
    returning * into v_turn;

    insert into public.messages
        (id, conversation_id, user_id, role, content, metadata, turn_id)
    values
        (begin_turn.message_id, v_conversation_id, begin_turn.user_id, 'user',
         begin_turn.request, begin_turn.metadata, v_turn.id);

    perform public.broadcast_status(v_conversation_id, v_turn.id, 'accepted');
    return public.describe_turn(v_turn.id, 'started', history_limit, history_tokens);
end;
$$;

revoke all on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer, integer)
    to service_role;
comment on function public.begin_turn(uuid, text, text, text, uuid, uuid, uuid, jsonb, integer, integer, integer, integer, integer) is
    'Commits a user''s message and opens its turn. Answers {outcome: started | taken_over | replayed | in_progress, turn, conversation, user_message, reply, history}, and context with history_tokens. Raises PT404, PT422, PT429.';

create function public.resume_turn(
    turn_id uuid,
    lease_seconds integer,
    history_limit integer,
    history_tokens integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform 1
    from public.conversations as c
    where c.id = (select t.conversation_id from public.turns as t where t.id = resume_turn.turn_id)
    for update;

    select t.* into v_turn
    from public.turns as t
    where t.id = resume_turn.turn_id
    for update;

    if not found then
        -- Its conversation was deleted in the meantime.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    elsif v_turn.status <> 'running' then
        return public.describe_turn(v_turn.id, 'replayed');
    elsif v_turn.lease_expires_at > clock_timestamp() then
        return public.describe_turn(v_turn.id, 'in_progress');
    end if;

    update public.turns
    set attempt = attempt + 1,
        draft = '',
        lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where id = v_turn.id;

    perform public.broadcast_status(v_turn.conversation_id, v_turn.id, 'accepted');
    return public.describe_turn(v_turn.id, 'taken_over', history_limit, history_tokens);
end;
$$;

revoke all on function public.resume_turn(uuid, integer, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.resume_turn(uuid, integer, integer, integer) to service_role;
comment on function public.resume_turn(uuid, integer, integer, integer) is
    'What a known key leads to: the stored reply, word that it still runs, or the turn taken over where its lease is over.';
