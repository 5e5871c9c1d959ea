-- Search in one's own messages: by words, ranked, and by parts of words where no message has them.
--
-- Row-level security alone can't make this fast. Postgres lets an operator run before a policy
-- only if it is leakproof, and neither @@ nor LIKE is: under a policy an index on them is left
-- unused. So the index is a table of its own, in a schema that no API serves. Nobody is granted
-- it, and one narrow function reads it as its owner. That function takes no user: it asks who is
-- calling, and answers nothing but ids and ranks. What a caller sees of a message is then read by
-- search_messages as the caller, under the policies of messages and conversations.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

create schema search;
grant usage on schema search to authenticated;
comment on schema search is 'What search_messages stands on. Not for the Data API to serve.';

-- Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer: words without spaces between them, or with
-- particles that stick to them.
create function search.unspaced_letters()
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
    select '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007'
        '\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff';
$$;

revoke all on function search.unspaced_letters() from public, anon, authenticated, service_role;
comment on function search.unspaced_letters() is
    'The letters, as in a regular expression''s brackets, of which each pair is indexed as a word.';

create function search.fold_text(source text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
    v_text text := lower(source);
begin
    if octet_length(v_text) > char_length(v_text) then
        v_text := normalize(
            regexp_replace(normalize(v_text, NFD), '[\u0300-\u036f]', '', 'g'), NFC
        );
        v_text := translate(
            v_text,
            'ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ０１２３４５６７８９',
            'abcdefghijklmnopqrstuvwxyz0123456789'
        );
    end if;
    return regexp_replace(v_text, '[^[:alnum:]]', ' ', 'g');
end;
$$;

-- The only one of them that a caller needs: their snippet is made as themselves.
revoke all on function search.fold_text(text) from public, anon, authenticated, service_role;
grant execute on function search.fold_text(text) to authenticated;
comment on function search.fold_text(text) is
    'Text as it is compared: lower case, no accents, nothing but letters, digits and spaces. One character for each of a text in normal form C, unless that holds accents which no letter of their own has.';

create function search.split_words(source text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
    v_text text := search.fold_text(source);
    c_letter constant text := '[' || search.unspaced_letters() || ']';
begin
    if octet_length(v_text) > char_length(v_text) then
        -- A run of such letters becomes its pairs and its last letter: ABC is AB BC C.
        v_text := regexp_replace(v_text, '(' || c_letter || '+)', ' \1 ', 'g');
        v_text := regexp_replace(v_text, '(?<=' || c_letter || ')(' || c_letter || ')', '\1 \1', 'g');
    end if;
    return v_text;
end;
$$;

revoke all on function search.split_words(text) from public, anon, authenticated, service_role;
comment on function search.split_words(text) is
    'The words of a text, with spaces between them: an identifier falls into its parts at each dot and underscore, and Chinese, Japanese, Korean and Thai into pairs of letters.';

create function search.long_words(words tsvector)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
    select coalesce(string_agg(word, ' '), '')
    from unnest(tsvector_to_array(words)) as word
    where char_length(word) > 3;
$$;

revoke all on function search.long_words(tsvector) from public, anon, authenticated, service_role;
comment on function search.long_words(tsvector) is
    'The words that can have a part of three letters or more, for the trigram index.';

-- A message has one row for each stretch of it that a tsvector surely holds, so that the index
-- never refuses a message. Positions in a tsvector end at 16,383, hence the shorter stretches where
-- each letter is a word. In the worst case, 64,000 different letters of four bytes or 16,000
-- different pairs of them, a tsvector takes half of the megabyte that it may have. A stretch reaches
-- into the next one, so that no word and no short phrase is cut in two.
create function search.split_text(source text)
returns table (starts_at integer, stretch text)
language sql
immutable
security invoker
set search_path = ''
as $$
    select n * size + 1, substr(source, n * size + 1, size + 256)
    from (
        select case
            when octet_length(source) > char_length(source)
                and source ~ ('[' || search.unspaced_letters() || ']') then 16000
            else 64000
        end
    ) as stretches (size)
    cross join lateral generate_series(0, greatest(char_length(source) - 257, 0) / size) as n;
$$;

revoke all on function search.split_text(text) from public, anon, authenticated, service_role;
comment on function search.split_text(text) is
    'A text in stretches of bounded size, each with the character that it starts at.';

create table search.documents (
    message_id uuid not null,
    starts_at integer not null,
    user_id uuid not null,
    conversation_id uuid not null,
    role text not null,
    created_at timestamptz not null,
    words tsvector not null,

    constraint documents_pkey primary key (message_id, starts_at),
    constraint documents_message_id_fkey foreign key (message_id)
        references public.messages (id) on delete cascade
);

alter table search.documents enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.documents
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.documents from public, anon, authenticated, service_role;

comment on table search.documents is
    'The words of each message, written with it and deleted with it. No policy for insert, update, delete: only a trigger writes. Granted to nobody: only find_messages reads it.';
comment on column search.documents.starts_at is
    'The character of the message''s text and code, one after the other, that these words start at.';

create function search.searched_text(content text, generated_code text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
    select content || coalesce(E'\n' || generated_code, '');
$$;

revoke all on function search.searched_text(text, text) from public, anon, authenticated, service_role;
grant execute on function search.searched_text(text, text) to authenticated;
comment on function search.searched_text(text, text) is
    'What is searched of a message: its text, then its code.';

-- Runs as its owner, because who writes a message may not write the index.
create function search.index_message()
returns trigger
language plpgsql
security definer
set search_path = ''
set client_min_messages = warning -- a word over 2 kB is left out with a notice
as $$
begin
    if tg_op = 'UPDATE' then
        delete from search.documents where message_id = old.id;
    end if;

    insert into search.documents
        (message_id, starts_at, user_id, conversation_id, role, created_at, words)
    select new.id, s.starts_at, new.user_id, new.conversation_id, new.role, new.created_at,
           to_tsvector('pg_catalog.simple', search.split_words(s.stretch))
    from search.split_text(search.searched_text(new.content, new.generated_code)) as s;
    return null;
end;
$$;

revoke all on function search.index_message() from public, anon, authenticated, service_role;
comment on function search.index_message() is
    'Writes a message''s words beside it. Only a repair ever updates a message.';

create trigger messages_index
    after insert or update of id, conversation_id, user_id, role, content, generated_code, created_at
    on public.messages
    for each row
    execute function search.index_message();

insert into search.documents
    (message_id, starts_at, user_id, conversation_id, role, created_at, words)
select m.id, s.starts_at, m.user_id, m.conversation_id, m.role, m.created_at,
       to_tsvector('pg_catalog.simple', search.split_words(s.stretch))
from public.messages as m
cross join lateral search.split_text(search.searched_text(m.content, m.generated_code)) as s;

-- Leads with the user, so that a search costs what its user has stored and not what everybody has.
create index idx_documents_words
    on search.documents
    using gin (user_id, words, search.long_words(words) extensions.gin_trgm_ops)
    with (gin_pending_list_limit = 1024);

create function search.parse_query(q text)
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
        v_term := phraseto_tsquery('pg_catalog.simple', v_words);
        continue when numnode(v_term) = 0;

        if v_words ~ ('^' || c_letter || '$') then
            v_term := (quote_literal(v_words) || ':*')::tsquery;
        end if;
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
        ),
        'runs', (
            select coalesce(jsonb_agg(distinct term), '[]')
            from unnest(v_terms) as term
            where term ~ c_letter
        )
    );
end;
$$;

revoke all on function search.parse_query(text) from public, anon, authenticated, service_role;
comment on function search.parse_query(text) is
    'What a web search asks for: {query, words, runs}, the last two as they are to be marked, words whole and runs of unspaced letters wherever they are. Raises PT400 where there is nothing to look for.';

-- Each word becomes all words of this user that it is a part of. What it costs is bounded: a
-- thousand stretches are looked at for each word, and a hundred words taken.
create function search.widen_query(user_id uuid, parsed jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
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
            select (d.message_id, d.starts_at)::text as place, d.words
            from search.documents as d
            where d.user_id = widen_query.user_id
              and search.long_words(d.words) like '%' || v_word || '%'
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

revoke all on function search.widen_query(uuid, jsonb) from public, anon, authenticated, service_role;
comment on function search.widen_query(uuid, jsonb) is
    'The query with each word of three letters or more replaced by this user''s words that it is a part of: {query, ranking, is_cut}.';

create function search.find_messages(
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

    with terms as (
        select word, '\m' || word || '\M' as pattern
        from jsonb_array_elements_text(v_parsed -> 'words') as word
        where not v_is_wide or char_length(word) < 3
        union all
        select part, part
        from jsonb_array_elements_text(v_parsed -> 'words') as part
        where v_is_wide and char_length(part) > 2
        union all
        select run, run
        from jsonb_array_elements_text(v_parsed -> 'runs') as run
    )
    select string_agg(t.pattern, '|' order by char_length(t.word) desc),
           (array_agg(t.pattern order by char_length(t.word) desc))[1]
    into v_pattern, v_focus
    from terms as t;

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

revoke all on function search.find_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function search.find_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb)
    to authenticated;
comment on function search.find_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb) is
    'Which of the caller''s own messages match, best first: ids, places and ranks, never text; and the patterns of what to mark, of which focus says most. Runs as its owner, since under a policy no index serves.';

create function search.cut_snippet(source text, starts_at integer, pattern text, focus text)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
    c_stretch constant integer := 64256;
    c_length constant integer := 240;
    c_before constant integer := 60;
    v_text text := substr(source, starts_at, c_stretch);
    v_folded text;
    v_start integer;
    v_from integer := 1;
    v_to integer;
    v_marks jsonb := '[]';
begin
    if octet_length(v_text) > char_length(v_text) then
        v_text := normalize(v_text, NFC);
    end if;
    v_folded := search.fold_text(v_text);
    if char_length(v_folded) <> char_length(v_text) then
        -- Accents that no letter of their own has: found all the same, but not marked.
        v_folded := regexp_replace(lower(v_text), '[^[:alnum:]]', ' ', 'g');
    end if;

    v_start := coalesce(
        nullif(regexp_instr(v_folded, focus), 0), nullif(regexp_instr(v_folded, pattern), 0), 1
    );
    v_start := greatest(v_start - c_before, 1);
    v_folded := substr(v_folded, v_start, c_length);
    loop
        v_from := regexp_instr(v_folded, pattern, v_from);
        exit when v_from = 0;
        v_to := regexp_instr(v_folded, pattern, v_from, 1, 1);
        v_marks := v_marks || jsonb_build_object('start', v_from - 1, 'end', v_to - 1);
        v_from := v_to;
    end loop;

    return jsonb_build_object(
        'text', substr(v_text, v_start, c_length),
        'marks', v_marks,
        'has_before', starts_at > 1 or v_start > 1,
        'has_after', v_start - 1 + c_length < char_length(v_text)
            or starts_at - 1 + c_stretch < char_length(source)
    );
end;
$$;

revoke all on function search.cut_snippet(text, integer, text, text)
    from public, anon, authenticated, service_role;
grant execute on function search.cut_snippet(text, integer, text, text) to authenticated;
comment on function search.cut_snippet(text, integer, text, text) is
    'Some of a text around the first place of its focus: {text, marks, has_before, has_after}. Marks count characters of the snippet, so nothing that a text holds can pass for one.';

create function public.search_messages(
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
language plpgsql
stable
security invoker
set search_path = ''
set statement_timeout = '5s' -- PostgREST makes it the call's own
as $$
#variable_conflict use_column
declare
    v_page_size constant integer := least(greatest(page_size, 1), 200);
    v_found jsonb;
    v_hits jsonb;
begin
    if conversation_id is not null then
        perform public.get_conversation(conversation_id);
    end if;

    v_found := search.find_messages(
        q => q,
        conversation_id => conversation_id,
        project_id => project_id,
        role => role,
        since => since,
        until => until,
        archived => archived,
        page_size => v_page_size,
        page_after => page_after
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
                'role', m.role,
                'created_at', m.created_at,
                'rank', h.rank,
                'snippet', search.cut_snippet(
                    search.searched_text(m.content, m.generated_code),
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
    from (
        -- The limit tells the planner how few they are: each is then looked up by its key.
        select *
        from jsonb_to_recordset(v_found -> 'hits')
            as hits (message_id uuid, starts_at integer, rank real)
        limit v_page_size
    ) as h
    join public.messages as m on m.id = h.message_id
    join public.conversations as c on c.id = m.conversation_id;

    return jsonb_build_object(
        'hits', v_hits,
        'parts', v_found -> 'parts',
        'cut', v_found -> 'cut',
        'next', v_found -> 'next'
    );
exception
    when query_canceled then
        raise exception 'The search takes too long: narrow it.'
            using errcode = 'PT422', detail = 'search_too_broad';
end;
$$;

revoke all on function public.search_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.search_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb)
    to authenticated;
comment on function public.search_messages(text, uuid, uuid, text, timestamptz, timestamptz, boolean, integer, jsonb) is
    'A page of hits in the caller''s own messages, best first: by words, or by parts of words where no message has the words (parts). cut says that only the newest thousand matches were ranked; next is page_after of the page that follows. Raises PT400, PT404, PT422.';
