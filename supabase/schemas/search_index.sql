-- The index that a search reads: the words of each message, written with it.
--
-- Row-level security alone can't make a search fast. Postgres lets an operator run before a policy
-- only if it is leakproof, and neither @@ nor LIKE is: under a policy an index on them is left
-- unused. So the index is a table of its own, in a schema that no API serves. Nobody is granted
-- it, and one narrow function (find_messages) reads it as its owner.

-- Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer: words without spaces between them.
create function search.unspaced_letters()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007'
        '\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff';
$$;

revoke all on function search.unspaced_letters from public, anon, authenticated, service_role;
comment on function search.unspaced_letters is 'The letters, as in a regular expression''s brackets, of which each pair is indexed as a word.';

create function search.fold_text(source text)
returns text
language plpgsql immutable security invoker set search_path = ''
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

-- The only one of these that a caller needs: their snippet is made as themselves.
revoke all on function search.fold_text from public, anon, authenticated, service_role;
grant execute on function search.fold_text to authenticated;
comment on function search.fold_text is 'Text as it is compared: lower case, no accents, nothing but letters, digits and spaces. One character for each of a text in normal form C, unless that holds accents which no letter of their own has.';

create function search.split_words(source text)
returns text
language plpgsql immutable security invoker set search_path = ''
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

revoke all on function search.split_words from public, anon, authenticated, service_role;
comment on function search.split_words is 'The words of a text, with spaces between them: an identifier falls into its parts at each dot and underscore, and Chinese, Japanese, Korean and Thai into pairs of letters.';

create function search.long_words(words tsvector)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(string_agg(word, ' '), '')
    from unnest(tsvector_to_array(words)) as word
    where char_length(word) > 3;
$$;

revoke all on function search.long_words from public, anon, authenticated, service_role;
comment on function search.long_words is 'The words that can have a part of three letters or more, for the trigram index.';

-- A message has one row for each stretch of it that a tsvector surely holds, so that the index
-- never refuses a message. Positions in a tsvector end at 16,383, hence the shorter stretches where
-- each letter is a word. In the worst case, 64,000 different letters of four bytes or 16,000
-- different pairs of them, a tsvector takes half of the megabyte that it may have. A stretch reaches
-- into the next one, so that no word and no short phrase is cut in two.
create function search.split_text(source text)
returns table (starts_at integer, stretch text)
language sql immutable security invoker set search_path = ''
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

revoke all on function search.split_text from public, anon, authenticated, service_role;
comment on function search.split_text is 'A text in stretches of bounded size, each with the character that it starts at.';

create function search.searched_text(content text, generated_code text)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select content || coalesce(E'\n' || generated_code, '');
$$;

revoke all on function search.searched_text from public, anon, authenticated, service_role;
grant execute on function search.searched_text to authenticated;
comment on function search.searched_text is 'What is searched of a message: its text, then its code.';

-- The key does not begin with the user: of an index that begins with one, the planner would read all of a user's
-- words, where what it knows of them is old.
create table search.documents (
    message_id uuid not null,
    starts_at integer not null,
    user_id uuid not null,
    conversation_id uuid not null,
    role text not null,
    created_at timestamptz not null,
    words tsvector not null,

    constraint documents_pkey primary key (message_id, user_id, starts_at),
    constraint documents_user_id_message_id_fkey foreign key (user_id, message_id)
        references public.messages (user_id, id) on delete cascade
);

-- Leads with the user, so that a search costs what its user has stored and not what everybody has.
-- pg_trgm stands where the project had it before: its operators are named by that schema.
do $$
begin
    execute format(
        'create index idx_documents_words
            on search.documents
            using gin (user_id, words, search.long_words(words) %s.gin_trgm_ops)
            with (gin_pending_list_limit = 1024)',
        (select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm')
    );
end;
$$;

alter table search.documents enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.documents
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.documents from public, anon, authenticated, service_role;

comment on table search.documents is 'The words of each message, written with it and deleted with it. No policy for insert, update, delete: only a trigger writes. Granted to nobody: only find_messages reads it.';
comment on column search.documents.starts_at is 'The character of the message''s text and code, one after the other, that these words start at.';

-- Runs as its owner, because who writes a message may not write the index. Of a very long message the
-- first megabyte is found, and its end: eight megabytes of words took longer than a call to the store
-- may, and such a message could not be stored at all.
create function search.index_message()
returns trigger
language plpgsql security definer set search_path = ''
set client_min_messages = warning -- a word over 2 kB is left out with a notice
as $$
declare
    c_bytes constant bigint := 1000000;
    c_end constant integer := 16000;
    v_text constant text := search.searched_text(new.content, new.generated_code);
    v_length constant integer := char_length(v_text);
    v_longest constant integer := c_bytes * v_length / greatest(octet_length(v_text), 1);
begin
    if tg_op = 'UPDATE' then
        delete from search.documents as d
        where d.user_id = any (array[old.user_id, new.user_id])
          and d.message_id = old.id;
    end if;

    insert into search.documents
        (message_id, starts_at, user_id, conversation_id, role, created_at, words)
    select new.id, s.starts_at, new.user_id, new.conversation_id, new.role, new.created_at,
           to_tsvector('pg_catalog.simple', search.split_words(s.stretch))
    from (
        select starts_at, stretch
        from search.split_text(left(v_text, v_longest))
        union all
        select rest.starts_at, substr(v_text, rest.starts_at)
        from (select greatest(v_longest, v_length - c_end) + 1) as rest (starts_at)
        where v_length > v_longest
    ) as s;
    return null;
end;
$$;

revoke all on function search.index_message from public, anon, authenticated, service_role;
comment on function search.index_message is 'Writes a message''s words beside it. Only a repair ever updates a message.';

create trigger messages_index
    after insert or update of id, conversation_id, user_id, role, content, generated_code, created_at
    on public.messages
    for each row
    execute function search.index_message();
