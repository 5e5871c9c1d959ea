-- Of a very long message the first megabyte is found, and its end. Its index is written with it, and
-- eight megabytes of words took longer than a call to the store may: such a message could not be
-- stored at all. Grants and comment stay as they are.

create or replace function search.index_message()
returns trigger
language plpgsql
security definer
set search_path = ''
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
        delete from search.documents where message_id = old.id;
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
