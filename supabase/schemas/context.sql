-- Context that fits: the AI is given the whole history while it fits a budget of tokens; beyond it,
-- the newest summary and everything since, all of it along one path. Tokens are estimated as a third of
-- the bytes in UTF-8, rounded up, and four more for each message, as shared/ai/tokens.py does: a length
-- in bytes is known without reading the text itself.

-- Its messages as text: as jsonb each would be built, copied into the answer and written out again.
create function private.read_history(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer,
    path int8multirange,
    known_from bigint default null,
    known_id uuid default null,
    out history json,
    out context json
)
language plpgsql stable security invoker set search_path = ''
set enable_sort = off -- an index has them in their order: sorted, all would be read
set jit = off -- compiling takes longer than reading a history
as $$
#variable_conflict use_column
declare
    c_message_tokens constant integer := 4;
    c_beside constant bigint := 4000000; -- bytes of parts; older messages are given as their text
    v_budget constant integer := greatest(history_tokens, 0);
    -- Where not everything fits, one long message does not push out all the others.
    v_longest constant integer := greatest(v_budget / 4, c_message_tokens + 1);
    -- One range, where nothing was edited or regenerated: then counting takes no look at a table.
    v_is_straight constant boolean := path = int8multirange(range_merge(path));
    v_rest int8multirange;
    v_seq bigint;
    v_tokens integer;
    v_bytes integer;
    v_ours constant uuid[] := array(
        select s.id
        from public.summaries as s
        where s.user_id = read_history.user_id
          and s.conversation_id = read_history.conversation_id
    );
    v_covered bigint;
    v_summary json;
    v_summary_tokens integer;
    v_room bigint;
    v_whole bigint := 0;
    v_short bigint := 0;
    v_since bigint := 0;
    v_beside bigint := 0;
    v_first bigint;
    v_known bigint := 0;
    v_is_complete boolean;
    v_omitted bigint;
    v_is_whole boolean := false;
    v_parts_from bigint := 0;
    v_messages text;
begin
    if cardinality(v_ours) > 0 then
        select n.through_seq,
               json_build_object(
                   'seq', n.seq, 'role', 'system', 'content', left(n.content, v_longest * 3),
                   'is_summary', true
               ),
               (octet_length(n.content) + 2) / 3 + c_message_tokens
        into v_covered, v_summary, v_summary_tokens
        from private.newest_summary(user_id, conversation_id, path) as n;
    end if;

    v_covered := coalesce(v_covered, 0);
    v_room := v_budget - case when v_covered > 0 then least(v_summary_tokens, v_longest) else 0 end;
    if v_room < 0 then
        v_covered := 0;
        v_room := v_budget;
    end if;

    -- From the newest back, no further than the budget reaches. In a loop: a sum over a window, which is
    -- sorted and stored, takes a third more of each message.
    for v_seq, v_tokens, v_bytes in
        select m.seq, m.tokens, m.beside
        from (select part from unnest(path) as part order by part desc) as newest_first (part)
        cross join lateral (
            select messages.id,
                   messages.seq,
                   (octet_length(messages.content) + 2
                       + case jsonb_array_length(messages.parts)
                           when 0 then 0
                           else private.bytes_beside_text(messages.role, messages.parts)::integer
                         end) / 3 + c_message_tokens as tokens,
                   case
                       when jsonb_array_length(messages.parts) = 0 and messages.native is null then 0
                       else octet_length(messages.parts::text)
                           + coalesce(octet_length(messages.native::text), 0)
                   end as beside
            from public.messages
            where messages.user_id = read_history.user_id
              and messages.conversation_id = read_history.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq desc
            offset 0
        ) as m
        where m.id <> all (v_ours)
    loop
        exit when v_short > v_budget;
        v_whole := v_whole + v_tokens;
        v_short := v_short + least(v_tokens, v_longest);
        if v_seq > v_covered then
            v_since := v_whole;
            if v_short <= v_room then
                v_first := v_seq;
            end if;
        end if;
        if v_bytes > 0 then
            v_beside := v_beside + v_bytes;
            if v_beside > c_beside then
                v_parts_from := greatest(v_parts_from, v_seq + 1);
            end if;
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
    v_first := coalesce(v_first, upper(path), 1);

    -- What the asker has need not be sent again: from a place to a message, found by its id. What is
    -- before a message never changes, and no other path or conversation, whatever its id, has it.
    -- But only if nothing is cut or left out of any message, which would not be so each time.
    v_is_complete := v_parts_from <= v_first and (v_is_whole or v_short = v_whole);
    if v_is_complete and known_from <= v_first then
        select m.seq into v_known
        from public.messages as m
        where m.user_id = read_history.user_id
          and m.conversation_id = read_history.conversation_id
          and m.id = read_history.known_id
          and m.seq <@ read_history.path;
        v_known := coalesce(v_known, 0);
    end if;

    -- A longer one is sent with as many characters as could be within its bytes; who gives it to
    -- the AI cuts it to them. Written here, since Postgres would look up how each column is written
    -- for each row; what a message lacks is left out. They come in the order of their places.
    select string_agg(
        concat(
            '{"id":"', m.id, '","seq":', m.seq, ',"role":"', m.role, '","content":',
            to_json(
                case
                    when v_is_whole or octet_length(m.content) <= v_longest * 3 then m.content
                    else left(m.content, v_longest * 3)
                end
            ),
            case
                when m.role = 'assistant' and m.metadata -> 'success' = 'false'
                    then ',"failure":'
                        || to_json(coalesce(m.metadata -> 'error' ->> 'type', 'failed'))::text
            end,
            case
                when jsonb_array_length(m.parts) > 0 and g.is_given
                    then ',"parts":' || m.parts::text
            end,
            case when m.native is not null and g.is_given then ',"native":' || m.native::text end,
            '}'
        ),
        ','
    )
    into v_messages
    from unnest(path * int8multirange(int8range(greatest(v_first, v_known + 1), null))) as part
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = read_history.user_id
          and messages.conversation_id = read_history.conversation_id
          and messages.seq >= lower(part)
          and messages.seq < upper(part)
        order by messages.seq
        offset 0
    ) as m
    cross join lateral (
        select m.seq >= v_parts_from
            and (
                v_is_whole
                or jsonb_array_length(m.parts) = 0
                or (octet_length(m.content) + private.bytes_beside_text(m.role, m.parts) + 2) / 3
                    + c_message_tokens <= v_longest
            ) as is_given
    ) as g
    where m.id <> all (v_ours);

    history := '[' || concat_ws(',', case when v_covered > 0 then v_summary end, v_messages) || ']';

    v_rest := path * int8multirange(int8range(v_covered + 1, greatest(v_first, v_covered + 1)));
    v_omitted := case
        when v_is_straight then coalesce(upper(v_rest) - lower(v_rest), 0)
        else private.length_of(v_rest)
    end;
    if v_omitted > 0 and cardinality(v_ours) > 0 then
        select v_omitted - count(*) into v_omitted
        from unnest(v_ours) as ours (id)
        cross join lateral (
            select seq
            from public.messages
            where messages.user_id = read_history.user_id and messages.id = ours.id
            offset 0
        ) as m
        where m.seq <@ v_rest;
    end if;

    context := json_build_object(
        'covers_to', v_covered,
        'first', v_first,
        'known', v_known,
        'is_complete', v_is_complete,
        'omitted', v_omitted,
        'longest', v_longest,
        'is_whole', v_is_whole,
        'since_tokens', v_since
    );
end;
$$;

grant execute on function private.read_history to authenticated, service_role;
comment on function private.read_history is 'What load_history answers, of a path in a conversation that is the user''s. Of messages that the asker has, those from known_from to that of known_id, none is in the history: known is the seq up to which, 0 where all are in it.';

create function public.load_history(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer default 100000,
    before bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
begin
    perform private.require_self(user_id);

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = load_history.user_id and c.id = load_history.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    return to_json(private.read_history(
        user_id, conversation_id, history_tokens,
        private.path_to(
            user_id, v_conversation,
            branch => case when before is null then v_conversation.active_branch end,
            before => before
        )
    ));
end;
$$;

revoke all on function public.load_history from public, anon, authenticated, service_role;
grant execute on function public.load_history to authenticated, service_role;
comment on function public.load_history is 'What the AI is given of a conversation before a seq, along the path to that, or of the active path: all of it within the budget, else the newest summary and everything since, else as much of that as fits. Answers {history, context: {covers_to, first, known, is_complete, omitted, longest, is_whole, since_tokens}}: what the summary covers, the seq from which on messages are given, whether all of these are as they are stored, how many messages are left out, to how many tokens the summary and, unless all are whole, each message is to be cut, how much came since the newest summary. Raises PT403, PT404.';

-- From rows that are in hand: whoever has just written them need not read them again.
create function private.describe_rows(
    outcome text,
    turn public.turns,
    conversation private.conversations,
    user_message jsonb,
    reply jsonb,
    history json default '[]',
    context json default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
    return json_build_object(
        'outcome', outcome,
        'turn', to_jsonb(turn) - '{request_hash,draft,draft_parts}'::text[],
        'conversation', conversation,
        'user_message', user_message,
        'reply', reply,
        'history', history,
        'context', context
    );
end;
$$;

grant execute on function private.describe_rows to authenticated, service_role;
comment on function private.describe_rows is 'A turn, its conversation, its messages and the history before it, as they are given.';

create function private.message_of_turn(user_id uuid, turn public.turns)
returns public.messages
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message public.messages;
begin
    if turn.answers is null then
        select m.* into v_message
        from public.messages as m
        where m.user_id = message_of_turn.user_id and m.turn_id = message_of_turn.turn.id
          and m.role = 'user';
    else
        select m.* into v_message
        from public.messages as m
        where m.user_id = message_of_turn.user_id and m.id = message_of_turn.turn.answers;
    end if;
    return v_message;
end;
$$;

grant execute on function private.message_of_turn to authenticated, service_role;
comment on function private.message_of_turn is 'The message that a turn answers: its own, or the one that it answers once more.';

-- Whatever is described is read once, by whoever holds the lock or under row-level security.
create function private.describe_turn(
    user_id uuid,
    turn_id uuid,
    outcome text default null,
    history_tokens integer default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_conversation private.conversations;
    v_request public.messages;
    v_reply jsonb;
    v_history record;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = describe_turn.user_id and t.id = describe_turn.turn_id;

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = describe_turn.user_id and c.id = v_turn.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_request := private.message_of_turn(user_id, v_turn);

    outcome := coalesce(
        outcome, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    );
    if v_turn.status <> 'running' then
        select to_jsonb(m) into v_reply
        from public.messages as m
        where m.user_id = describe_turn.user_id and m.turn_id = describe_turn.turn_id
          and m.role = 'assistant';
    end if;

    if history_tokens is null then
        return private.describe_rows(
            outcome, v_turn, v_conversation, to_jsonb(v_request), v_reply
        );
    end if;

    v_history := private.read_history(
        user_id, v_conversation.id, history_tokens,
        private.path_to(user_id, v_conversation, before => v_request.seq)
    );
    return private.describe_rows(
        outcome, v_turn, v_conversation, to_jsonb(v_request), v_reply, v_history.history,
        v_history.context
    );
end;
$$;

grant execute on function private.describe_turn to authenticated, service_role;
comment on function private.describe_turn is 'A turn with its conversation and its messages, and an outcome: without one, whether it runs or was settled; with history_tokens also what load_history gives of what came before it. Raises PT404.';
