-- Search in one's own messages: by words, ranked, and by parts of words where no message has them.
-- find_messages answers nothing but ids and ranks, of who is calling. What a caller sees of a message
-- is then read by search_messages as the caller, under the policies of messages and conversations.

create function search.find_messages(
    user_id uuid,
    q text,
    conversation_id uuid,
    project_id uuid,
    role text,
    since timestamptz,
    until timestamptz,
    archived boolean,
    page_size integer,
    page_after jsonb
)
returns jsonb
language plpgsql stable security definer set search_path = ''
set plan_cache_mode = force_custom_plan -- what is looked for decides which index serves
as $$
#variable_conflict use_column
declare
    c_ranked constant integer := 1000;
    c_letter constant text := '[' || search.unspaced_letters() || ']';
    v_parsed constant jsonb := search.parse_query(q);
    v_query tsquery := (v_parsed ->> 'query')::tsquery;
    v_ranking tsquery := v_query;
    v_wide jsonb;
    v_is_wide boolean := coalesce((page_after ->> 'parts')::boolean, false);
    v_is_cut boolean := coalesce((page_after ->> 'cut')::boolean, false);
    v_oldest timestamptz := (page_after ->> 'oldest')::timestamptz;
    v_newest timestamptz := (page_after ->> 'newest')::timestamptz;
    v_hits jsonb;
    v_pattern text;
    v_focus text;
    v_unindexed search.documents[];
begin
    perform private.require_self(find_messages.user_id);

    -- One snapshot shows the index, the watermarks and what is above them: a message is in one of both.
    v_unindexed := search.read_unindexed(find_messages.user_id, 100);

    loop
        if v_is_wide then
            v_wide := search.widen_query(find_messages.user_id, v_parsed, v_unindexed);
            v_query := (v_wide ->> 'query')::tsquery;
            v_ranking := (v_wide ->> 'ranking')::tsquery;
            v_is_cut := v_is_cut or (v_wide ->> 'is_cut')::boolean;
        end if;

        -- The first page fixes the stretch of time that all pages are about: what is written
        -- meanwhile neither comes in nor pushes anything out.
        with matches as (
            select d.message_id, d.starts_at, d.created_at, d.words,
                   row_number() over (order by d.created_at desc, d.message_id desc) as number
            from (
                select i.*
                from search.documents as i
                where i.user_id = find_messages.user_id
                union all
                select n.*
                from unnest(v_unindexed) as n
            ) as d
            -- With a limit it is looked up, whatever the planner takes the tables for.
            cross join lateral (
                select c.project_id, c.archived_at
                from private.conversations as c
                where c.user_id = find_messages.user_id and c.id = d.conversation_id
                limit 1
            ) as its
            where d.words @@ v_query
              and (find_messages.conversation_id is null
                   or d.conversation_id = find_messages.conversation_id)
              and (find_messages.role is null or d.role = find_messages.role)
              and (since is null or d.created_at >= since)
              and (until is null or d.created_at < until)
              and (page_after is null or d.created_at between v_oldest and v_newest)
              and (find_messages.project_id is null or its.project_id = find_messages.project_id)
              and (archived or its.archived_at is null
                   or d.conversation_id = find_messages.conversation_id)
            order by d.created_at desc, d.message_id desc
            limit case when page_after is null then c_ranked + 1 end
        ),
        considered as (
            select *
            from matches
            where page_after is not null or number <= c_ranked
        ),
        ranked as (
            select distinct on (m.message_id)
                m.message_id, m.starts_at, m.created_at, ts_rank(m.words, v_ranking, 1) as rank
            from considered as m
            order by m.message_id, rank desc, m.starts_at
        ),
        page as (
            select r.*
            from ranked as r
            where page_after is null
               or (r.rank, r.created_at, r.message_id) < (
                   (page_after ->> 'rank')::real,
                   (page_after ->> 'created_at')::timestamptz,
                   (page_after ->> 'message_id')::uuid
               )
            order by r.rank desc, r.created_at desc, r.message_id desc
            limit page_size + 1
        )
        select jsonb_agg(to_jsonb(p) order by p.rank desc, p.created_at desc, p.message_id desc),
               coalesce(v_oldest, (select min(m.created_at) from considered as m)),
               coalesce(v_newest, (select max(m.created_at) from considered as m)),
               v_is_cut or page_after is null and (select count(*) from matches) > c_ranked
        into v_hits, v_oldest, v_newest, v_is_cut
        from page as p;

        exit when v_hits is not null or v_is_wide or page_after is not null;
        v_is_wide := true;
    end loop;

    -- A word is a whole one between spaces, and beside a letter of those scripts, as it is in the index.
    with terms as (
        select word, not v_is_wide or char_length(word) < 3 as is_whole
        from jsonb_array_elements_text(v_parsed -> 'words') as word
        union all
        select run, false
        from jsonb_array_elements_text(v_parsed -> 'runs') as run
    ),
    patterns as (
        select case
                   when t.is_whole then
                       '(?:(?<![^ ])|(?<=' || c_letter || '))(?:%s)(?:(?![^ ])|(?=' || c_letter || '))'
                   else '(?:%s)'
               end as shape,
               array_agg(t.word order by char_length(t.word) desc) as words
        from terms as t
        group by t.is_whole
    )
    select string_agg(format(p.shape, array_to_string(p.words, '|')), '|'),
           (array_agg(format(p.shape, p.words[1]) order by char_length(p.words[1]) desc))[1]
    into v_pattern, v_focus
    from patterns as p;

    return jsonb_build_object(
        'hits', coalesce(v_hits, '[]') - page_size,
        'pattern', v_pattern,
        'focus', v_focus,
        'parts', v_is_wide,
        'cut', v_is_cut,
        'incomplete', exists (
            select 1
            from search.watermarks as w
            cross join lateral (
                select c.last_seq
                from private.conversations as c
                where c.user_id = find_messages.user_id and c.id = w.conversation_id
                limit 1
            ) as its
            where w.user_id = find_messages.user_id
              and its.last_seq - w.indexed_seq > (
                  select count(distinct n.message_id)
                  from unnest(v_unindexed) as n
                  where n.conversation_id = w.conversation_id
              )
        ),
        'next', case when jsonb_array_length(v_hits) > page_size then
            (v_hits -> (page_size - 1)) - 'starts_at' || jsonb_build_object(
                'oldest', v_oldest, 'newest', v_newest, 'parts', v_is_wide, 'cut', v_is_cut
            )
        end
    );
end;
$$;

grant execute on function search.find_messages to authenticated;
comment on function search.find_messages is 'Which of the caller''s own messages match, best first: ids, places and ranks, never text; and the patterns of what to mark, of which focus says most. Runs as its owner, since under a policy no index serves.';

create function search.cut_snippet(source text, starts_at integer, pattern text, focus text)
returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    c_stretch constant integer := 64256;
    c_length constant integer := 240;
    c_before constant integer := 60;
    v_text text := substr(source, starts_at, c_stretch);
    v_snippet text;
    v_folded text;
    v_start integer;
    v_from integer := 1;
    v_to integer;
    v_end integer;
    v_marks jsonb := '[]';
begin
    if octet_length(v_text) > char_length(v_text) then
        v_text := normalize(v_text, NFC);
    end if;
    v_folded := search.fold_text(v_text);

    v_start := coalesce(
        nullif(regexp_instr(v_folded, focus), 0), nullif(regexp_instr(v_folded, pattern), 0), 1
    );
    v_start := greatest(search.find_place(v_text, v_folded, v_start) - c_before, 1);
    v_snippet := substr(v_text, v_start, c_length);
    v_folded := search.fold_text(v_snippet);
    loop
        v_from := regexp_instr(v_folded, pattern, v_from);
        exit when v_from = 0;
        v_to := regexp_instr(v_folded, pattern, v_from, 1, 1);
        -- Up to the next letter, so that points and accents are marked with theirs; but nothing unseen.
        v_end := search.find_place(v_snippet, v_folded, v_to) - 1;
        v_end := char_length(
            rtrim(
                left(v_snippet, v_end),
                U&'\00ad\200b\200c\200d\200e\200f\202a\202b\202c\202d\202e\2060\feff'
            )
        );
        v_marks := v_marks || jsonb_build_object(
            'start', search.find_place(v_snippet, v_folded, v_from) - 1,
            'end', v_end
        );
        v_from := v_to;
    end loop;

    return jsonb_build_object(
        'text', v_snippet,
        'marks', v_marks,
        'has_before', starts_at > 1 or v_start > 1,
        'has_after', v_start - 1 + c_length < char_length(v_text)
            or starts_at - 1 + c_stretch < char_length(source)
    );
end;
$$;

grant execute on function search.cut_snippet to authenticated;
comment on function search.cut_snippet is 'Some of a text around the first place of its focus: {text, marks, has_before, has_after}. Marks count characters of the snippet, so nothing that a text holds can pass for one.';

create function public.search_messages(
    user_id uuid,
    q text,
    conversation_id uuid default null,
    project_id uuid default null,
    role text default null,
    since timestamptz default null,
    until timestamptz default null,
    archived boolean default false,
    page_size integer default 20,
    page_after jsonb default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set statement_timeout = '5s' -- PostgREST makes it the call's own
as $$
#variable_conflict use_column
declare
    v_page_size constant integer := least(greatest(page_size, 1), 200);
    v_found jsonb;
    v_hits jsonb;
begin
    perform private.require_self(user_id);

    if conversation_id is not null then
        perform public.get_conversation(user_id, conversation_id);
    end if;

    v_found := search.find_messages(
        user_id, q, conversation_id, project_id, role, since, until, archived, v_page_size, page_after
    );

    select coalesce(
        jsonb_agg(
            jsonb_build_object(
                'message_id', m.id,
                'conversation_id', c.id,
                'title', c.title,
                'project_id', c.project_id,
                'archived_at', c.archived_at,
                'seq', m.seq,
                'branch', m.branch,
                'role', m.role,
                'created_at', m.created_at,
                'rank', h.rank,
                'snippet', search.cut_snippet(
                    concat_ws(E'\n', m.content, m.generated_code),
                    h.starts_at,
                    v_found ->> 'pattern',
                    v_found ->> 'focus'
                )
            )
            order by h.rank desc, m.created_at desc, m.id desc
        ),
        '[]'
    )
    into v_hits
    from jsonb_to_recordset(v_found -> 'hits')
        as h (message_id uuid, starts_at integer, rank real)
    -- With their limits they are looked up by their keys, whatever the planner takes the tables for.
    cross join lateral (
        select *
        from public.messages as o
        where o.user_id = search_messages.user_id and o.id = h.message_id
        limit 1
    ) as m
    cross join lateral (
        select *
        from private.conversations as o
        where o.user_id = search_messages.user_id and o.id = m.conversation_id
        limit 1
    ) as c;

    return v_found - array['pattern', 'focus'] || jsonb_build_object('hits', v_hits);
exception
    when query_canceled then
        raise exception 'The search takes too long: narrow it.'
            using errcode = 'PT422', detail = 'search_too_broad';
end;
$$;

revoke all on function public.search_messages from public, anon, authenticated, service_role;
grant execute on function public.search_messages to authenticated;
comment on function public.search_messages is 'A page of hits in the caller''s own messages, best first: by words, or by parts of words where no message has the words (parts). cut says that only the newest thousand matches were ranked; incomplete, that more is not in the index yet than was read beside it; next is page_after of the page that follows. Raises PT400, PT404, PT422.';
