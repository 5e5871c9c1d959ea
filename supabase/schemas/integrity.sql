-- What must hold of the stored rows after any run, as checks that one call makes. Constraints keep
-- most of it; a restore, a dropped constraint or a hand that bypassed them is what is looked for.

-- What is looked for may stand under a wrong user, so rows are looked up by conversation alone. Runs
-- as its owner, because nobody is granted the search index, which holds content too. Live events are
-- not looked at: they are Realtime's, which drops them after three days.
create function private.find_broken(
    user_id uuid default null,
    grace_seconds integer default 120,
    since timestamptz default null
)
returns jsonb
language sql stable security definer set search_path = ''
-- The Data API gives a call this long, where it honours a function's own limit.
set statement_timeout = '10min'
-- Compiling so long a query takes seconds, even where there is next to nothing to read.
set jit = off
as $$
    -- With since, a hundred conversations at most of each kind; with a user, that user's; with
    -- neither, all is read.
    with asked as (
        select find_broken.user_id,
               find_broken.user_id is null and since is null as is_for_all,
               now() - make_interval(secs => grace_seconds) as lost_since
    ),
    newest as (
        select m.conversation_id as id
        from public.messages as m
        where m.created_at between since and 'infinity'
        group by m.conversation_id
        order by max(m.created_at) desc
        limit 100
    ),
    stuck as (
        select t.conversation_id as id
        from public.turns as t
        where since is not null
          and t.status = 'running'
          and t.lease_expires_at < (select lost_since from asked)
        limit 100
    ),
    sampled as (
        select id from newest
        union
        select id from stuck
        union
        select c.id from public.conversations as c where c.user_id = find_broken.user_id
        union
        select m.conversation_id from public.messages as m where m.user_id = find_broken.user_id
        union
        select t.conversation_id from public.turns as t where t.user_id = find_broken.user_id
    ),
    chosen_conversations as (
        select c.* from public.conversations as c where (select is_for_all from asked)
        union all
        select c.* from public.conversations as c where c.id in (select id from sampled)
    ),
    chosen_messages as (
        select m.id, m.conversation_id, m.user_id, m.turn_id, m.seq, m.created_at
        from public.messages as m
        where (select is_for_all from asked)
        union all
        select m.id, m.conversation_id, m.user_id, m.turn_id, m.seq, m.created_at
        from public.messages as m
        where m.conversation_id in (select id from sampled)
    ),
    chosen_turns as (
        select t.* from public.turns as t where (select is_for_all from asked)
        union all
        select t.* from public.turns as t where t.conversation_id in (select id from sampled)
    ),
    -- What a row names is looked up row by row: a join might read the whole of the other table.
    seen_conversations as (
        select c.id, c.user_id, c.last_seq,
               (
                   select max(m.seq)
                   from public.messages as m
                   where m.conversation_id = c.id
               ) as newest_seq
        from chosen_conversations as c
    ),
    seen_messages as (
        select m.*,
               (
                   select c.user_id
                   from public.conversations as c
                   where c.id = m.conversation_id
               ) as owner_id,
               (select t.id from public.turns as t where t.id = m.turn_id) as known_turn_id,
               lag(m.seq) over places as previous_seq,
               lag(m.created_at) over places as previous_created_at
        from chosen_messages as m
        window places as (partition by m.conversation_id order by m.seq, m.created_at, m.id)
    ),
    seen_turns as (
        select t.*,
               (
                   select c.user_id
                   from public.conversations as c
                   where c.id = t.conversation_id
               ) as owner_id,
               (
                   select m.id
                   from public.messages as m
                   where m.user_id = t.user_id and m.turn_id = t.id
                     and m.role = 'user'
                   limit 1
               ) as request_id,
               (
                   select count(*)
                   from public.messages as m
                   where m.user_id = t.user_id and m.turn_id = t.id
                     and m.role = 'assistant'
               ) as replies,
               (
                   select o.id
                   from public.turns as o
                   where o.user_id = t.user_id
                     and o.idempotency_key = t.idempotency_key
                     and (o.started_at, o.id) < (t.started_at, t.id)
                   limit 1
               ) as same_key_id
        from chosen_turns as t
    ),
    broken (name, user_id, id) as (
        select 'turn_without_message', user_id, id from seen_turns where request_id is null
        union all
        select 'settled_turn_without_reply', user_id, id
        from seen_turns
        where status <> 'running'
          and replies = 0
        union all
        select 'turn_with_two_replies', user_id, id from seen_turns where replies > 1
        union all
        select 'seq_gap', owner_id, conversation_id
        from seen_messages
        where seq <> coalesce(previous_seq, 0) + 1
          and seq is distinct from previous_seq
        union all
        select 'seq_tie', owner_id, conversation_id from seen_messages where seq = previous_seq
        union all
        select 'last_seq_wrong', user_id, id
        from seen_conversations
        where last_seq <> coalesce(newest_seq, 0)
        union all
        select 'created_at_out_of_order', owner_id, conversation_id
        from seen_messages
        where created_at <= previous_created_at
        union all
        select 'key_used_twice', user_id, id from seen_turns where same_key_id is not null
        union all
        select 'row_of_another_owner', owner_id, conversation_id
        from seen_messages
        where user_id <> owner_id
        union all
        select 'row_of_another_owner', owner_id, conversation_id
        from seen_turns
        where user_id <> owner_id
        union all
        select 'turn_without_worker', user_id, id
        from seen_turns
        where status = 'running'
          and lease_expires_at < (select lost_since from asked)
        union all
        select 'conversation_missing', user_id, conversation_id
        from seen_messages
        where owner_id is null
        union all
        select 'conversation_missing', user_id, conversation_id
        from seen_turns
        where owner_id is null
        union all
        select 'message_of_unknown_turn', user_id, id
        from seen_messages
        where turn_id is not null
          and known_turn_id is null
        union all
        select 'draft_left_behind', user_id, id
        from seen_turns
        where status <> 'running'
          and draft <> ''
        union all
        select 'import_left_behind', p.user_id, p.import_id
        from private.import_parts as p
        where p.staged_at < now() - interval '1 hour'
        union all
        select 'summary_of_no_message', s.user_id, s.id
        from public.summaries as s
        where (find_broken.user_id is null or s.user_id = find_broken.user_id)
          and since is null
          and not exists (
              select 1 from public.messages as m where m.user_id = s.user_id and m.id = s.id
          )
        union all
        select 'words_of_no_message', d.user_id, d.message_id
        from search.documents as d
        where (find_broken.user_id is null or d.user_id = find_broken.user_id)
          and since is null
          and not exists (
              select 1
              from public.messages as m
              where m.user_id = d.user_id and m.id = d.message_id
          )
        union all
        -- What the watermark says is in the index, and isn't, or could come to be said of a message.
        select 'watermark_too_high', c.user_id, c.id
        from seen_conversations as c
        cross join lateral (
            select coalesce((
                select w.indexed_seq
                from search.watermarks as w
                where w.user_id = c.user_id and w.conversation_id = c.id
            ), c.newest_seq, 0) as indexed_seq
        ) as watermark
        where since is null
          and (
              watermark.indexed_seq > coalesce(c.newest_seq, 0)
              or exists (
                  select 1
                  from public.messages as m
                  where m.user_id = c.user_id and m.conversation_id = c.id
                    and m.seq <= watermark.indexed_seq
                    and not exists (
                        select 1
                        from search.documents as d
                        where d.user_id = m.user_id and d.message_id = m.id
                    )
              )
          )
    ),
    lists (name, rows) as (
        select b.name, jsonb_agg(to_jsonb(b) - 'name' order by b.id)
        from (select distinct name, user_id, id from broken) as b
        where b.user_id is not null
          and (find_broken.user_id is null or b.user_id = find_broken.user_id)
        group by b.name
    )
    select coalesce(jsonb_object_agg(name, rows), '{}') from lists;
$$;

revoke all on function private.find_broken from public, anon, authenticated, service_role;
grant execute on function private.find_broken to service_role;
comment on function private.find_broken is 'What is broken, by the name of the check, as [{user_id, id}]: the id of a conversation for places, owners and missing ones, else of the row. Of one user; with since, only in the hundred newest conversations with a message from then on, and in a hundred with a turn that lost its worker.';

-- A listing: it reads over all users, and repair_invariants then writes for one.
create function public.check_invariants(
    grace_seconds integer default 120,
    since timestamptz default null
)
returns jsonb
language sql stable security invoker set search_path = ''
set statement_timeout = '10min'
as $$
    -- Materialized, so that it is found once and not for each check.
    with found (rows) as materialized (
        select private.find_broken(grace_seconds => grace_seconds, since => since)
    )
    select jsonb_build_object(
        'checks', jsonb_agg(
            jsonb_build_object(
                'name', checks.name,
                'broken', coalesce(jsonb_array_length(found.rows -> checks.name), 0),
                'examples',
                coalesce(jsonb_path_query_array(found.rows -> checks.name, '$[0 to 4].id'), '[]'),
                'repairable', checks.name <> 'turn_without_message'
            )
            order by checks.place
        ),
        'users', (
            select coalesce(jsonb_agg(distinct user_id), '[]')
            from found, jsonb_path_query(found.rows, '$.*[*].user_id') as user_id
        )
    )
    from unnest(array[
        'turn_without_message', 'settled_turn_without_reply', 'turn_with_two_replies', 'seq_gap',
        'seq_tie', 'last_seq_wrong', 'created_at_out_of_order', 'key_used_twice',
        'row_of_another_owner', 'turn_without_worker', 'conversation_missing',
        'message_of_unknown_turn', 'draft_left_behind', 'import_left_behind',
        'summary_of_no_message', 'words_of_no_message', 'watermark_too_high'
    ]) with ordinality as checks (name, place)
    cross join found;
$$;

revoke all on function public.check_invariants from public, anon, authenticated, service_role;
grant execute on function public.check_invariants to service_role;
comment on function public.check_invariants is 'Every check with how many are broken and up to five of their ids, and the users whose rows they are. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is cheap, and looks only where find_broken says.';
