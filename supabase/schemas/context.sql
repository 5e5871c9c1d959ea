-- Context that fits: the AI is given the whole history while it fits a budget of tokens; beyond it,
-- the newest summary and everything since, all of it along one path. Tokens are estimated as a third of
-- the bytes in UTF-8, rounded up, and four more for each message, as shared/ai/tokens.py does: a length
-- in bytes is known without reading the text itself.

-- By columns: Postgres writes an array at once, of objects it would look up for each how to write them.
create function private.read_history(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer,
    path int8multirange,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
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
    v_newest record;
    v_summary json;
    v_covered bigint := 0;
    v_room bigint := v_budget;
    v_known bigint;
    v_row record;
    v_whole bigint := 0;
    v_short bigint := 0;
    v_since bigint;
    v_bytes bigint := 0;
    v_first bigint := coalesce(upper(path), 1);
    v_is_whole boolean := true;
    v_is_given boolean;
    v_is_complete boolean := true;
    v_from integer;
    v_seqs bigint[] := '{}';
    v_roles text[] := '{}';
    v_contents text[] := '{}';
    v_beside_seqs bigint[] := '{}';
    v_beside json[] := '{}';
begin
    if exists (
        select 1
        from public.summaries as s
        where s.user_id = read_history.user_id
          and s.conversation_id = read_history.conversation_id
    ) then
        v_newest := private.newest_summary(user_id, conversation_id, path);
        path := v_newest.path;
        if v_newest.seq is not null and v_longest <= v_budget then
            v_covered := v_newest.through_seq;
            v_summary := json_build_object(
                'seq', v_newest.seq, 'content', left(v_newest.content, v_longest * 3)
            );
            v_room := v_budget
                - least((octet_length(v_newest.content) + 2) / 3 + c_message_tokens, v_longest);
        end if;
    end if;

    -- What the asker has need not be sent again: from a place to a message, found by its id. What is
    -- before a message never changes, and no other path or conversation, whatever its id, has it.
    if known_from is not null then
        select m.seq into v_known
        from public.messages as m
        where m.user_id = read_history.user_id
          and m.conversation_id = read_history.conversation_id
          and m.id = read_history.known_id
          and m.seq <@ read_history.path;
    end if;
    v_known := coalesce(v_known, 0);

    -- From the newest back, no further than the budget reaches. In a loop: a sum over a window, which is
    -- sorted and stored, takes a third more of each message.
    for v_row in
        select m.seq, m.role, m.tokens, m.parts, m.native,
               case when m.seq > v_known then m.content end as content,
               case
                   when m.seq > v_known and m.role = 'assistant'
                       and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure
        from (select part from unnest(path) as part order by part desc) as newest_first (part)
        cross join lateral (
            select messages.*,
                   (octet_length(messages.content) + 2
                       + case jsonb_array_length(messages.parts)
                           when 0 then 0
                           else private.bytes_beside_text(messages.role, messages.parts)::integer
                         end) / 3 + c_message_tokens as tokens
            from public.messages
            where messages.user_id = read_history.user_id
              and messages.conversation_id = read_history.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq desc
            offset 0
        ) as m
    loop
        exit when v_short > v_budget;
        if v_row.seq > v_known then
            v_seqs := v_row.seq || v_seqs;
            v_roles := v_row.role || v_roles;
            -- With as many characters as could be within its bytes; who gives it to the AI cuts it.
            v_contents := case
                when v_whole + v_row.tokens <= v_budget then v_row.content
                else left(v_row.content, v_longest * 3)
            end || v_contents;
        elsif v_row.seq = v_known
            and known_from = v_covered + 1
            and v_whole + known_tokens <= v_room
        then
            -- It was counted before, by who has it. With a summary there is more than fits.
            v_since := v_whole + known_tokens;
            v_whole := case v_covered when 0 then v_since else v_budget + 1 end;
            exit;
        end if;

        v_whole := v_whole + v_row.tokens;
        v_short := v_short + least(v_row.tokens, v_longest);
        if v_row.seq <= v_covered then
            v_since := coalesce(v_since, v_whole - v_row.tokens);
        elsif v_short <= v_room then
            v_first := v_row.seq;
        end if;

        if v_row.failure is not null or v_row.native is not null or v_row.parts <> '[]' then
            v_bytes := v_bytes + octet_length(v_row.parts::text)
                + coalesce(octet_length(v_row.native::text), 0);
            v_is_complete := v_is_complete and v_bytes <= c_beside;
            v_is_given := v_bytes <= c_beside
                and (v_whole <= v_budget or v_row.tokens <= v_longest);
            if v_row.seq > v_known then
                v_beside_seqs := v_row.seq || v_beside_seqs;
                v_beside := json_build_object(
                    'seq', v_row.seq,
                    'failure', v_row.failure,
                    'parts', case when v_is_given then v_row.parts else '[]' end,
                    'native', case when v_is_given then v_row.native end
                ) || v_beside;
            end if;
        end if;
    end loop;
    v_since := coalesce(v_since, v_whole);

    if v_whole <= v_budget then
        v_covered := 0;
        v_first := 1;
    elsif v_covered > 0 and v_since <= v_room then
        v_first := v_covered + 1;
    else
        v_is_whole := false;
    end if;

    -- But only if nothing is cut or left out of any message, which would not be so each time.
    v_is_complete := v_is_complete and (v_is_whole or v_short = v_whole);
    if v_known > 0 and not (v_is_complete and known_from <= v_first) then
        return private.read_history(user_id, conversation_id, history_tokens, path);
    end if;

    v_from := width_bucket(v_first - 1, v_seqs) + 1;
    return json_build_object(
        'seq', v_seqs[v_from:],
        'role', v_roles[v_from:],
        'content', v_contents[v_from:],
        'beside', v_beside[width_bucket(v_first - 1, v_beside_seqs) + 1:],
        'summary', case when v_covered > 0 then v_summary end,
        'covers_to', v_covered,
        'first', v_first,
        'known', v_known,
        'is_complete', v_is_complete,
        'omitted', private.length_of(
            path * int8multirange(int8range(v_covered + 1, greatest(v_first, v_covered + 1)))
        ),
        'longest', v_longest,
        'is_whole', v_is_whole,
        'since_tokens', v_since
    );
end;
$$;

grant execute on function private.read_history to authenticated, service_role;
comment on function private.read_history is 'What load_history answers, of a path in a conversation that is the user''s. Of messages that the asker has, those from known_from to that of known_id, none is in the history: known is the seq up to which, 0 where all are in it. known_tokens is how much they are, where nothing was cut or left out of the history that they were.';

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

    v_conversation := private.find_conversation(user_id, conversation_id);

    return json_build_object('history', private.read_history(
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
comment on function public.load_history is 'What the AI is given of a conversation before a seq, along the path to that, or of the active path: all of it within the budget, else the newest summary and everything since, else as much of that as fits. Answers {history: {seq, role, content, beside, summary, covers_to, first, known, is_complete, omitted, longest, is_whole, since_tokens}}: the messages by columns, [{seq, failure, parts, native}] of those that have any of these, the summary as {seq, content}, what it covers, the seq from which on messages are given, whether all of these are as they are stored, how many messages are left out, to how many tokens the summary and, unless all are whole, each message is to be cut, how much came since the newest summary. Raises PT403, PT404.';

-- From rows that are in hand: whoever has just written them need not read them again.
create function private.describe_rows(
    user_id uuid,
    outcome text,
    turn public.turns,
    conversation private.conversations,
    user_message jsonb,
    reply jsonb default null,
    history_tokens integer default null,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_history json;
begin
    if history_tokens is not null then
        v_history := private.read_history(
            user_id, conversation.id, history_tokens,
            private.path_to(user_id, conversation, before => (user_message ->> 'seq')::bigint),
            known_from, known_id, known_tokens
        );
    end if;
    return json_build_object(
        'outcome', outcome,
        'turn', to_jsonb(turn) - '{request_hash,draft,draft_parts}'::text[],
        'conversation', conversation,
        'user_message', user_message,
        'reply', reply,
        'history', v_history
    );
end;
$$;

grant execute on function private.describe_rows to authenticated, service_role;
comment on function private.describe_rows is 'A turn, its conversation and its messages, and with history_tokens the history before its message, as they are given.';

create function private.message_of_turn(user_id uuid, turn public.turns)
returns public.messages
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message public.messages;
begin
    select m.* into v_message
    from public.messages as m
    where m.user_id = message_of_turn.user_id
      and m.id = coalesce(message_of_turn.turn.answers, (
          select own.id
          from public.messages as own
          where own.user_id = message_of_turn.user_id and own.turn_id = message_of_turn.turn.id
            and own.role = 'user'
      ));
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

    return private.describe_rows(
        user_id, outcome, v_turn, v_conversation, to_jsonb(v_request), v_reply, history_tokens
    );
end;
$$;

grant execute on function private.describe_turn to authenticated, service_role;
comment on function private.describe_turn is 'A turn with its conversation and its messages, and an outcome: without one, whether it runs or was settled; with history_tokens also what load_history gives of what came before it. Raises PT404.';
