-- How the index follows what is stored: in steps, of one user each, that any number may take at once
-- and that may end anywhere. A step waits for nobody, so nobody who waits for it can wait in a circle.

-- Runs as its owner, because nobody is granted the index.
create function public.index_messages(user_id uuid, most integer default 500)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 50;
    c_bytes constant bigint := 1000000;
    v_watermark record;
    v_step record;
    v_messages bigint := 0;
    v_bytes bigint := 0;
    v_ids uuid[] := '{}';
    v_seqs bigint[] := '{}';
begin
    for v_watermark in
        select w.conversation_id, w.indexed_seq
        from search.watermarks as w
        where w.user_id = index_messages.user_id
        order by w.conversation_id
        limit c_conversations
        for update skip locked
    loop
        exit when v_messages >= most or v_bytes >= c_bytes;
        begin
            -- seq has no gaps, so a step is a range of it, whatever the planner takes a conversation for.
            -- Held against a deletion until the commit. Whoever deletes one keeps this from waiting.
            with due as materialized (
                select m.id, m.seq, m.role, m.created_at, m.content, m.generated_code,
                       octet_length(m.content) + coalesce(octet_length(m.generated_code), 0) as size
                from public.messages as m
                where m.user_id = index_messages.user_id
                  and m.conversation_id = v_watermark.conversation_id
                  and m.seq between v_watermark.indexed_seq + 1
                      and v_watermark.indexed_seq + most - v_messages
                for key share nowait
            ),
            chosen as (
                select *
                from (
                    select d.*, sum(d.size) over (order by d.seq) - d.size as size_before
                    from due as d
                ) as sized
                where size_before < c_bytes - v_bytes
            ),
            written as (
                insert into search.documents
                    (message_id, starts_at, user_id, conversation_id, role, created_at, words)
                select c.id, w.starts_at, index_messages.user_id, v_watermark.conversation_id,
                       c.role, c.created_at, w.words
                from chosen as c
                cross join lateral search.read_words(c.content, c.generated_code) as w
                on conflict on constraint documents_pkey do nothing
            )
            -- Where nothing is there, but something beyond, a repair has yet to close the places.
            select count(*) as messages,
                   coalesce(sum(c.size), 0) as bytes,
                   coalesce(max(c.seq), greatest(v_watermark.indexed_seq, (
                       select least(v_watermark.indexed_seq + most - v_messages, its.last_seq)
                       from private.conversations as its
                       where its.user_id = index_messages.user_id
                         and its.id = v_watermark.conversation_id
                   ))) as indexed_seq
            into v_step
            from chosen as c;
        exception
            when lock_not_available then
                continue; -- it is being deleted, or repaired
        end;
        v_messages := v_messages + v_step.messages;
        v_bytes := v_bytes + v_step.bytes;
        v_ids := v_ids || v_watermark.conversation_id;
        v_seqs := v_seqs || v_step.indexed_seq;
    end loop;

    -- Last, because a writer may wait for these rows. A watermark may go only while nobody writes to its
    -- conversation, whose row, once it is held, has the place of its newest message.
    delete from search.watermarks as w
    using (
        select step.conversation_id
        from unnest(v_ids, v_seqs) as step (conversation_id, indexed_seq)
        -- With its lock it is looked up, whatever the planner takes the tables for.
        cross join lateral (
            select c.id
            from private.conversations as c
            where c.user_id = index_messages.user_id and c.id = step.conversation_id
              and c.last_seq <= step.indexed_seq
            for no key update skip locked
        ) as held
    ) as done
    where w.user_id = index_messages.user_id and w.conversation_id = done.conversation_id;

    update search.watermarks as w
    set indexed_seq = step.indexed_seq
    from unnest(v_ids, v_seqs) as step (conversation_id, indexed_seq)
    where w.user_id = index_messages.user_id and w.conversation_id = step.conversation_id
      and w.indexed_seq < step.indexed_seq;

    return jsonb_build_object(
        'indexed', v_messages,
        'more', exists (
            select 1 from search.watermarks as w where w.user_id = index_messages.user_id
        )
    );
end;
$$;

revoke all on function public.index_messages from public, anon, authenticated, service_role;
grant execute on function public.index_messages to service_role;
comment on function public.index_messages is 'A step of a user''s search index: so many messages and, beyond the first, a megabyte of text. Answers {indexed, more}; more with nothing indexed means that others hold what is left.';

-- A listing: it reads over all users, and index_messages then writes for one. Each user is one look at
-- the key, however many conversations are theirs. In a random order: where time runs out before the
-- end of the list, it does so for others each time. Runs as its owner, because nobody is granted the
-- watermarks.
create function public.list_users_to_index(most integer default 10000)
returns jsonb
language sql volatile security definer set search_path = ''
as $$
    with recursive users (user_id) as (
        (select w.user_id from search.watermarks as w order by w.user_id limit 1)
        union all
        select following.user_id
        from users as u
        cross join lateral (
            select w.user_id
            from search.watermarks as w
            where w.user_id > u.user_id
            order by w.user_id
            limit 1
        ) as following
    )
    select jsonb_build_object('users', coalesce(jsonb_agg(u.user_id order by random()), '[]'))
    from (select * from users limit list_users_to_index.most) as u;
$$;

revoke all on function public.list_users_to_index from public, anon, authenticated, service_role;
grant execute on function public.list_users_to_index to service_role;
comment on function public.list_users_to_index is 'Users of whom not all messages are in the search index: {users: [id]}, in a random order.';

-- What a search reads beside the index. Sorting is switched off, so that whatever the statistics say the
-- newest come from the end of their index, and no others are read.
create function search.read_unindexed(user_id uuid, most integer)
returns search.documents[]
language plpgsql stable security invoker set search_path = ''
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    c_bytes constant integer := 200000;
begin
    if not exists (
        select 1 from search.watermarks as w where w.user_id = read_unindexed.user_id
    ) then
        return '{}';
    end if;

    return array(
        select row(
            m.id, read.starts_at, m.user_id, m.conversation_id, m.role, m.created_at, read.words
        )::search.documents
        from (
            select newest.*,
                   sum(octet_length(newest.content) + coalesce(octet_length(newest.generated_code), 0))
                       over (
                           order by newest.created_at desc, newest.id
                           rows between unbounded preceding and 1 preceding
                       ) as bytes_before
            from (
                select m.*
                from public.messages as m
                where m.user_id = read_unindexed.user_id
                order by m.created_at desc
                limit most
            ) as newest
            join search.watermarks as w
                on w.user_id = read_unindexed.user_id
                and w.conversation_id = newest.conversation_id
                and w.indexed_seq < newest.seq
        ) as m
        cross join lateral search.read_words(m.content, m.generated_code) as read
        where coalesce(m.bytes_before, 0) < c_bytes
    );
end;
$$;

comment on function search.read_unindexed is 'Of a user''s newest messages, so many, those above their watermarks, as they will be in the index: one, and beyond it 200 kB of text.';
