-- How text becomes words: folded, taken apart, and in stretches of bounded size.

-- Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer: words without spaces between them.
create function search.unspaced_letters()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007'
        '\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff';
$$;

comment on function search.unspaced_letters is 'The letters, as in a regular expression''s brackets, of which each pair is indexed as a word.';

-- Characters that change nothing of a word: Hebrew points, Arabic vowels and its lengthening stroke,
-- Syriac points, accents, soft hyphens, and what is not seen at all.
create function search.ignored_characters()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select '\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7'
        '\u0610-\u061a\u061c\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8'
        '\u06ea-\u06ed\u0711\u0730-\u074a\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff\u115f\u1160\u17b4\u17b5'
        '\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f'
        '\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\U000e0000-\U000e0fff';
$$;

grant execute on function search.ignored_characters to authenticated;
comment on function search.ignored_characters is 'The characters, as in a regular expression''s brackets, that are passed over in stored text and in what is looked for.';

-- The one way in which text is compared, stored and asked for alike. Of a text in normal form C each
-- character is folded by itself, whatever stands beside it: that is what find_place counts on.
create function search.fold_text(source text)
returns text
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_text text;
begin
    if octet_length(source) = char_length(source) then
        return regexp_replace(lower(source), '[^ [:alnum:]]', ' ', 'g');
    else
        v_text := lower(regexp_replace(
            normalize(source, NFKD), '[' || search.ignored_characters() || ']+', '', 'g'
        ));
        v_text := translate(
            v_text,
            'ςıđðħłŋøŧىیکة٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹',
            'σiddhlnotييكه01234567890123456789'
        );
        v_text := replace(replace(replace(replace(
            v_text, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        -- Vowel signs and the like stand in words, though they are no letters: Indic scripts, Thai, Lao,
        -- Tibetan, Burmese, Khmer, Mongolian, those of the islands. Letters between them do no harm
        -- here, signs would.
        return regexp_replace(
            normalize(v_text, NFC),
            '[^ [:alnum:]'
            '\u07a6-\u07b0\u07eb-\u07f3\u0900-\u0963\u0981-\u09e3\u0a01-\u0a75\u0a81-\u0ae3'
            '\u0b01-\u0b63\u0b82-\u0bd7\u0c00-\u0c63\u0c81-\u0c83\u0cbc-\u0d4d\u0d57\u0d62\u0d63'
            '\u0d81-\u0df3\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u0f18\u0f19\u0f35\u0f37\u0f39'
            '\u0f3e-\u0f84\u0f86-\u0fbc\u102b-\u103e\u1056-\u109d\u1712-\u1734\u1752-\u17d3\u17dd'
            '\u1885-\u18a9\u1920-\u193b\u1a17-\u1a1b\u1a55-\u1a7f\u1b00-\u1b44\u1b80-\u1bf3'
            '\u1c24-\u1c37\u302a-\u302f\u3099\u309a\ua802-\ua827\ua880-\ua8c5\ua926-\ua92d'
            '\ua947-\ua953\ua980-\ua9c0\uaa29-\uaa4d\uaaeb-\uaaef\uabe3-\uabea'
            ']',
            ' ', 'g'
        );
    end if;
end;
$$;

-- A caller's snippet is made as themselves, so these are what a caller needs.
grant execute on function search.fold_text to authenticated;
comment on function search.fold_text is 'Text as it is compared: lower case, without accents, points and what is not seen, compatible forms as what they stand for, nothing but words and spaces.';

create function search.find_place(source text, folded text, folded_place integer)
returns integer
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    c_shortened constant text := '[\u3131-\u318eﾞﾟ' || search.ignored_characters() || ']';
    v_length constant integer := char_length(source);
    v_size integer;
    v_before integer := 0; -- so many characters of the text are so many of the folded one
    v_folded integer := 0;
    v_part text := source; -- where it lies
    v_at integer;
    v_more integer;
    v_step integer;
begin
    -- Where nothing became shorter, and the whole no longer, each character is one.
    if char_length(folded) = v_length and source !~ c_shortened then
        return folded_place;
    end if;

    foreach v_size in array array[4096, 256, 16, 1] loop
        v_at := 0;
        while v_before + v_at + v_size <= v_length loop
            -- Half-width sound marks become one with the letter before them.
            v_step := v_size + (substr(v_part, v_at + v_size + 1, 1) in ('ﾞ', 'ﾟ'))::integer;
            v_more := char_length(search.fold_text(substr(v_part, v_at + 1, v_step)));
            exit when v_folded + v_more >= folded_place;
            v_at := v_at + v_step;
            v_folded := v_folded + v_more;
        end loop;
        v_before := v_before + v_at;
        v_part := substr(v_part, v_at + 1, v_size + 1);
    end loop;
    return v_before + 1;
end;
$$;

grant execute on function search.find_place to authenticated;
comment on function search.find_place is 'Which character of a text in normal form C became the one at this place of what it folds to, both counted from 1.';

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

comment on function search.split_words is 'The words of a text, with spaces between them: an identifier falls into its parts at each dot and underscore, and Chinese, Japanese, Korean and Thai into pairs of letters.';

-- Of the first stretch alone: three quarters of what a very long message costs the index would be the
-- parts of its words.
create function search.long_words(starts_at integer, words tsvector)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(string_agg(word, ' '), '')
    from unnest(tsvector_to_array(words)) as word
    where starts_at = 1 and char_length(word) > 3;
$$;

comment on function search.long_words is 'The words that can have a part of three letters or more and begin a message, for the trigram index.';

-- A message has one row for each stretch of it that a tsvector surely holds, so that the index
-- never refuses a message. Positions in a tsvector end at 16,383, hence the shorter stretches where
-- each letter is a word. In the worst case, 64,000 different letters of four bytes or 16,000
-- different pairs of them, a tsvector takes half of the megabyte that it may have. A stretch reaches
-- into the next one, so that no word and no short phrase is cut in two.
--
-- Of a very long message the first megabyte is found, and its end: of eight megabytes of words the index
-- took longer than a call to the store may.
create function search.read_words(content text, generated_code text)
returns table (starts_at integer, words tsvector)
language plpgsql immutable security invoker set search_path = ''
set client_min_messages = warning -- a word over 2 kB is left out with a notice
as $$
declare
    c_bytes constant bigint := 1000000;
    c_end constant integer := 16000;
    v_text constant text := concat_ws(E'\n', content, generated_code);
    v_length constant integer := char_length(v_text);
    v_longest constant integer := c_bytes * v_length / greatest(octet_length(v_text), 1);
    v_start constant text := left(v_text, v_longest);
    v_size constant integer := case
        when octet_length(v_start) > char_length(v_start)
            and v_start ~ ('[' || search.unspaced_letters() || ']') then 16000
        else 64000
    end;
begin
    return query
    select s.starts_at, to_tsvector('pg_catalog.simple', search.split_words(s.stretch))
    from (
        select n * v_size + 1, substr(v_start, n * v_size + 1, v_size + 256)
        from generate_series(0, greatest(char_length(v_start) - 257, 0) / v_size) as n
        union all
        select rest.starts_at, substr(v_text, rest.starts_at)
        from (select greatest(v_longest, v_length - c_end) + 1) as rest (starts_at)
        where v_length > v_longest
    ) as s (starts_at, stretch);
end;
$$;

comment on function search.read_words is 'What can be found of a message: its words by stretches, of the first megabyte and of the last 16,000 characters.';
