-- Words beside Chinese, Japanese, Korean and Thai letters: a Latin word between such letters was
-- found but not marked, and its snippet was the message's beginning, wherever the word was; and a
-- Latin word or number followed by one such letter was not found where the text goes on with
-- another. Both functions are as before otherwise, and keep their grants and comments.

create or replace function search.parse_query(q text)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
    c_letter constant text := '[' || search.unspaced_letters() || ']';
    v_token text[];
    v_words text;
    v_last text;
    v_start tsquery;
    v_term tsquery;
    v_side tsquery := ''; -- of an `or`
    v_query tsquery := '';
    v_is_positive boolean := false;
    v_terms text[] := '{}';
begin
    if char_length(q) > 1000 then
        raise exception 'q is longer than 1000 characters.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;

    -- Groups: a minus, what is in quotes, a word without. A quote that nothing closes is passed over.
    for v_token in
        select regexp_matches(q || ' or ', '(-?)(?:"([^"]*)"|([^\s"]+))', 'g')
    loop
        if lower(v_token[3]) = 'or' and v_token[1] = '' then
            if numnode(v_side) > 0 and not v_is_positive then
                raise exception 'q needs a word to look for beside those to leave out.'
                    using errcode = 'PT400', detail = 'invalid_request';
            end if;
            v_query := v_query || v_side;
            v_side := '';
            v_is_positive := false;
            continue;
        end if;

        v_words := btrim(search.split_words(coalesce(v_token[2], v_token[3])));
        -- Where it ends in a pair of letters, the text may go on: its last letter is no word there.
        v_words := regexp_replace(v_words, '(' || c_letter || '{2})\s+' || c_letter || '$', '\1');
        -- So may it where it ends in one letter by itself: 10 and a month are found before a day.
        v_last := substring(v_words from '(?:^|\s)(' || c_letter || ')$');
        v_term := phraseto_tsquery('pg_catalog.simple', rtrim(v_words, coalesce(v_last, '')));
        if v_last is not null then
            v_start := (quote_literal(v_last) || ':*')::tsquery;
            v_term := case when numnode(v_term) = 0 then v_start else v_term <-> v_start end;
        end if;
        continue when numnode(v_term) = 0;

        if v_token[1] = '-' then
            v_side := v_side && !!v_term;
        else
            v_side := v_side && v_term;
            v_is_positive := true;
            v_terms := v_terms || array(
                select (regexp_matches(
                    search.fold_text(coalesce(v_token[2], v_token[3])),
                    c_letter || '+|(?:(?!' || c_letter || ')[[:alnum:]])+', 'g'
                ))[1]
            );
        end if;
    end loop;

    if numnode(v_query) = 0 then
        raise exception 'q has no word to look for.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;
    return jsonb_build_object(
        'query', v_query::text,
        'words', (
            select coalesce(jsonb_agg(distinct term), '[]')
            from unnest(v_terms) as term
            where term !~ c_letter
              and octet_length(term) < 2047 -- a longer one is in no index and fits in no tsquery
        ),
        'runs', (
            select coalesce(jsonb_agg(distinct term), '[]')
            from unnest(v_terms) as term
            where term ~ c_letter
        )
    );
end;
$$;

create or replace function search.find_messages(
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
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- what is looked for decides which index serves
as $$
#variable_conflict use_column
declare
    c_ranked constant integer := 1000;
    c_letter constant text := '[' || search.unspaced_letters() || ']';
    v_user_id constant uuid := auth.uid();
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
begin
    loop
        if v_is_wide then
            v_wide := search.widen_query(v_user_id, v_parsed);
            v_query := (v_wide ->> 'query')::tsquery;
            v_ranking := (v_wide ->> 'ranking')::tsquery;
            v_is_cut := v_is_cut or (v_wide ->> 'is_cut')::boolean;
        end if;

        -- The first page fixes the stretch of time that all pages are about: what is written
        -- meanwhile neither comes in nor pushes anything out.
        with matches as (
            select d.message_id, d.starts_at, d.created_at, d.words,
                   row_number() over (order by d.created_at desc, d.message_id desc) as number
            from search.documents as d
            where d.user_id = v_user_id
              and d.words @@ v_query
              and (find_messages.conversation_id is null
                   or d.conversation_id = find_messages.conversation_id)
              and (find_messages.role is null or d.role = find_messages.role)
              and (since is null or d.created_at >= since)
              and (until is null or d.created_at < until)
              and (page_after is null or d.created_at between v_oldest and v_newest)
              and exists (
                  select 1
                  from public.conversations as c
                  where c.id = d.conversation_id
                    and c.user_id = v_user_id
                    and (find_messages.project_id is null or c.project_id = find_messages.project_id)
                    and (archived or c.archived_at is null or c.id = find_messages.conversation_id)
              )
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

    -- A word is a whole one beside a letter of those scripts, too, as it is in the index.
    with terms as (
        select word, true as is_whole
        from jsonb_array_elements_text(v_parsed -> 'words') as word
        where not v_is_wide or char_length(word) < 3
        union all
        select part, false
        from jsonb_array_elements_text(v_parsed -> 'words') as part
        where v_is_wide and char_length(part) > 2
        union all
        select run, false
        from jsonb_array_elements_text(v_parsed -> 'runs') as run
    ),
    patterns as (
        select t.is_whole,
               case when t.is_whole then '(?:\m|(?<=' || c_letter || '))(?:' else '(?:' end as opens,
               case when t.is_whole then ')(?:\M|(?=' || c_letter || '))' else ')' end as closes,
               string_agg(t.word, '|' order by char_length(t.word) desc) as words,
               (array_agg(t.word order by char_length(t.word) desc))[1] as longest
        from terms as t
        group by t.is_whole
    )
    select string_agg(p.opens || p.words || p.closes, '|'),
           (array_agg(p.opens || p.longest || p.closes order by char_length(p.longest) desc))[1]
    into v_pattern, v_focus
    from patterns as p;

    return jsonb_build_object(
        'hits', coalesce(v_hits, '[]') - page_size,
        'pattern', v_pattern,
        'focus', v_focus,
        'parts', v_is_wide,
        'cut', v_is_cut,
        'next', case when jsonb_array_length(v_hits) > page_size then
            (v_hits -> (page_size - 1)) - 'starts_at' || jsonb_build_object(
                'oldest', v_oldest, 'newest', v_newest, 'parts', v_is_wide, 'cut', v_is_cut
            )
        end
    );
end;
$$;
