-- A page is bounded in bytes too, as one of an export is: fifty messages of a few megabytes would take
-- longer than a call may, and beyond a quarter of a gigabyte no jsonb could hold them.
create function public.load_conversation(
    user_id uuid,
    conversation_id uuid,
    page_size integer default 50,
    before bigint default null,
    after bigint default null,
    around uuid default null,
    view text default 'active',
    branch integer default null
)
returns json
language plpgsql stable security invoker set search_path = ''
set jit = off -- compiling takes longer than reading a page
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_conversation private.conversations;
    v_open_turn jsonb;
    v_room integer;
    v_branch integer;
    v_branches public.branches[] := '{}';
    v_path int8multirange;
    v_page int8multirange;
    v_before bigint;
    v_after bigint;
    v_message public.messages;
    v_row json;
    v_messages json[] := '{}';
    v_oldest bigint;
    v_newest bigint;
    v_around bigint;
    v_around_branch integer;
    v_newer int8multirange;
    v_place bigint;
    v_count bigint;
    v_nearest bigint;
begin
    perform private.require_self(load_conversation.user_id);

    v_conversation := private.find_conversation(user_id, conversation_id);

    select jsonb_build_object(
        'turn_id', t.id,
        'status', t.status,
        'attempt', t.attempt,
        'user_message_id', coalesce(t.answers, (
            select m.id
            from public.messages as m
            where m.user_id = t.user_id and m.turn_id = t.id
              and m.role = 'user'
        )),
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

    if around is not null then
        -- By its id alone, lest a conversation that is taken for short is read through for it.
        select n.seq, n.branch into v_around, v_around_branch
        from (
            select m.seq, m.branch, m.conversation_id
            from public.messages as m
            where m.user_id = load_conversation.user_id and m.id = load_conversation.around
            offset 0
        ) as n
        where n.conversation_id = load_conversation.conversation_id;
    end if;

    v_path := int8multirange(int8range(1, v_conversation.last_seq + 1));
    if view = 'active' then
        v_branch := v_conversation.active_branch;
        v_branches := private.branches_of(user_id, v_conversation);
        if branch is not null then
            v_branch := private.path_end(v_branches, branch, v_conversation.last_seq);
        end if;
        if v_branches <> '{}' then
            v_path := private.path_along(v_branches, v_branch, v_conversation.last_seq);
            if branch is null and not v_around <@ v_path then
                v_branch := private.path_end(
                    v_branches, v_around_branch, v_conversation.last_seq, v_around
                );
                v_path := private.path_along(v_branches, v_branch, v_conversation.last_seq);
            end if;
        end if;
    end if;

    if around is not null and (v_around <@ v_path) is not true then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    end if;

    -- Seq has no gaps, so a page is a few ranges of it, mostly one: of what is on either side of a place.
    v_before := least(
        greatest(coalesce(before, v_conversation.last_seq + 1), 1), v_conversation.last_seq + 1
    );
    v_after := case when after is not null then least(greatest(after, 0), v_conversation.last_seq) end;
    v_place := coalesce(v_around, v_after + 1, v_before);
    v_newer := v_path * int8multirange(int8range(v_place, greatest(v_before, v_place)));
    v_count := case
        when after is not null then 0
        when around is null then v_limit
        else greatest(v_limit / 2, v_limit - private.length_of(v_newer))
    end;
    v_page := private.part_of(v_path * int8multirange(int8range(null, v_place)), -v_count);
    if not isempty(v_newer) then
        v_page := v_page + private.part_of(v_newer, v_limit - private.length_of(v_page));
    end if;
    v_nearest := coalesce(
        v_around, case when after is null then upper(v_page) - 1 else lower(v_page) end
    );

    -- A page has a size in bytes too: of long messages it holds those that are nearest to where it
    -- was asked for, and always that one, for which there is room in each page. What has no room by its
    -- plain length isn't read for that; all else counts as it is sent, with what JSON escapes.
    for v_message in
        select m.*
        from unnest(v_page) as part
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_conversation.user_id
              and messages.conversation_id = load_conversation.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            offset 0
        ) as m
        order by abs(m.seq - v_nearest), m.seq
    loop
        exit when v_oldest is not null
            and octet_length(v_message.content)
                + coalesce(octet_length(v_message.generated_code), 0) > v_room;
        v_row := row_to_json(v_message);
        v_room := v_room - octet_length(v_row::text);
        exit when v_oldest is not null and v_room < 0;

        if v_message.seq < v_nearest then
            v_messages := v_row || v_messages;
        else
            v_messages := v_messages || v_row;
        end if;
        v_oldest := least(v_oldest, v_message.seq);
        v_newest := greatest(v_newest, v_message.seq);
    end loop;

    return json_build_object(
        'conversation', v_conversation,
        'messages', v_messages,
        'page', json_build_object(
            'has_older', coalesce(lower(v_path) < coalesce(v_oldest, v_after + 1, v_before), false),
            'has_newer', coalesce(
                upper(v_path) - 1 > coalesce(v_newest, v_after, v_before - 1), false
            ),
            'oldest_seq', v_oldest,
            'newest_seq', v_newest
        ),
        'last_seq', v_conversation.last_seq,
        'branch', v_branch,
        'siblings', case v_branches
            when '{}' then '{}'
            else private.find_siblings(
                user_id, conversation_id,
                v_page * int8multirange(int8range(v_oldest, v_newest, '[]')),
                v_branches, v_conversation.last_seq
            )
        end,
        'open_turn', v_open_turn
    );
end;
$$;

revoke all on function public.load_conversation from public, anon, authenticated, service_role;
grant execute on function public.load_conversation to authenticated, service_role;
comment on function public.load_conversation is 'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message; of the active path, that through a branch or the message, or with the view all in the order of writing. At most page_size rows and eight megabytes. Raises PT404.';
