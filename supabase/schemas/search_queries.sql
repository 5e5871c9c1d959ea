-- What somebody typed, as the query that the index is asked.

create function search.parse_query(q text)
returns jsonb
language plpgsql immutable security invoker set search_path = ''
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
        raise exception 'What is looked for is longer than 1000 characters.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;

    -- Groups: a minus, what is in quotes, a word without. A quote that nothing closes is passed over.
    -- Keyboards of telephones write quotes in pairs.
    for v_token in
        select regexp_matches(
            translate(q, '“”„‟«»＂', '"""""""') || ' or ', '(-?)(?:"([^"]*)"|([^\s"]+))', 'g'
        )
    loop
        if lower(v_token[3]) = 'or' and v_token[1] = '' then
            if numnode(v_side) > 0 and not v_is_positive then
                raise exception 'There are only words to leave out: add one to look for.'
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
                    c_letter || '+|(?:(?!' || c_letter || ')[^ ])+', 'g'
                ))[1]
            );
        end if;
    end loop;

    if numnode(v_query) = 0 then
        raise exception 'There is no word to look for: signs, quotes and emoji alone can''t be found.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;
    return (
        select jsonb_build_object(
            'query', v_query::text,
            'words', coalesce(
                jsonb_agg(distinct term) filter (
                    -- A longer one is in no index and fits in no tsquery.
                    where term !~ c_letter and octet_length(term) < 2047
                ),
                '[]'
            ),
            'runs', coalesce(jsonb_agg(distinct term) filter (where term ~ c_letter), '[]')
        )
        from unnest(v_terms) as term
    );
end;
$$;

comment on function search.parse_query is 'What a web search asks for: {query, words, runs}, the last two as they are to be marked, words whole and runs of unspaced letters wherever they are. Raises PT400 where there is nothing to look for.';

-- Each word becomes all words of this user that it is a part of. What it costs is bounded: a
-- thousand stretches are looked at for each word, and a hundred words taken.
create function search.widen_query(user_id uuid, parsed jsonb, unindexed search.documents[])
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_word text;
    v_found text[];
    v_query tsquery := (parsed ->> 'query')::tsquery;
    v_ranking tsquery := v_query;
    v_is_cut boolean := false;
begin
    for v_word in
        select word from jsonb_array_elements_text(parsed -> 'words') as word
        where char_length(word) > 2
    loop
        select array_agg(distinct w.word), count(distinct d.place) = 1000 or v_is_cut
        into v_found, v_is_cut
        from (
            select (o.message_id, o.starts_at)::text as place, o.words
            from (
                select d.message_id, d.starts_at, d.words
                from search.documents as d
                where d.user_id = widen_query.user_id
                  and search.long_words(d.starts_at, d.words) like '%' || v_word || '%'
                union all
                select n.message_id, n.starts_at, n.words
                from unnest(widen_query.unindexed) as n
                where n.starts_at = 1
            ) as o
            limit 1000
        ) as d
        cross join lateral unnest(tsvector_to_array(d.words)) as w (word)
        where w.word like '%' || v_word || '%';

        v_is_cut := v_is_cut or coalesce(cardinality(v_found) > 100, false);
        v_found := array_append(v_found[:100], v_word);
        v_query := ts_rewrite(
            v_query,
            quote_literal(v_word)::tsquery,
            (select string_agg(quote_literal(word), ' | ') from unnest(v_found) as word)::tsquery
        );
        -- Not by the words that were found: a rank must stay the same while others are written.
        v_ranking := ts_rewrite(
            v_ranking, quote_literal(v_word)::tsquery, (quote_literal(v_word) || ':*')::tsquery
        );
    end loop;
    return jsonb_build_object('query', v_query, 'ranking', v_ranking, 'is_cut', v_is_cut);
end;
$$;

comment on function search.widen_query is 'The query with each word of three letters or more replaced by this user''s words that it is a part of: {query, ranking, is_cut}.';
