-- What must hold of the stored rows after any run, as checks that one call makes. Constraints keep
-- most of it; a restore, a dropped constraint or a hand that bypassed them is what is looked for.

create function private.find_broken(
    grace_seconds integer default 120,
    since timestamptz default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
-- The Data API gives a call this long, where it honours a function's own limit.
set statement_timeout = '10min'
-- Compiling so long a query takes seconds, even where there is next to nothing to read.
set jit = off
as $$
    -- With since, a hundred conversations at most of each kind; without, none, and all is read.
    with newest as (
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
          and t.lease_expires_at < now() - make_interval(secs => grace_seconds)
        limit 100
    ),
    sampled as (
        select id from newest
        union
        select id from stuck
    ),
    chosen_conversations as (
        select c.* from public.conversations as c where since is null
        union all
        select c.* from public.conversations as c where c.id in (select id from sampled)
    ),
    chosen_messages as (
        select m.id, m.conversation_id, m.user_id, m.turn_id, m.seq, m.created_at
        from public.messages as m
        where since is null
        union all
        select m.id, m.conversation_id, m.user_id, m.turn_id, m.seq, m.created_at
        from public.messages as m
        where m.conversation_id in (select id from sampled)
    ),
    chosen_turns as (
        select t.* from public.turns as t where since is null
        union all
        select t.* from public.turns as t where t.conversation_id in (select id from sampled)
    ),
    -- What a row names is looked up row by row: a join might read the whole of the other table.
    seen_conversations as (
        select c.id, c.last_seq,
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
        select t.id, t.user_id, t.status, t.lease_expires_at,
               (
                   select c.user_id
                   from public.conversations as c
                   where c.id = t.conversation_id
               ) as owner_id,
               (
                   select m.id
                   from public.messages as m
                   where m.id = t.user_message_id
                     and m.role = 'user'
               ) as request_id,
               (
                   select m.id
                   from public.messages as m
                   where m.id = t.reply_message_id
                     and m.role = 'assistant'
                     and m.turn_id = t.id
               ) as reply_id,
               (
                   select count(*)
                   from public.messages as m
                   where m.turn_id = t.id
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
    broken (name, id) as (
        select 'turn_without_message', id from seen_turns where request_id is null
        union all
        select 'settled_turn_without_reply', id
        from seen_turns
        where status <> 'running'
          and reply_id is null
        union all
        select 'turn_with_two_replies', id from seen_turns where replies > 1
        union all
        select distinct 'seq_gap', conversation_id
        from seen_messages
        where seq <> coalesce(previous_seq, 0) + 1
          and seq is distinct from previous_seq
        union all
        select distinct 'seq_tie', conversation_id from seen_messages where seq = previous_seq
        union all
        select 'last_seq_wrong', id
        from seen_conversations
        where last_seq <> coalesce(newest_seq, 0)
        union all
        select distinct 'created_at_out_of_order', conversation_id
        from seen_messages
        where created_at <= previous_created_at
        union all
        select 'key_used_twice', id from seen_turns where same_key_id is not null
        union all
        select 'message_of_another_owner', id from seen_messages where user_id <> owner_id
        union all
        select 'turn_of_another_owner', id from seen_turns where user_id <> owner_id
        union all
        select 'turn_without_worker', id
        from seen_turns
        where status = 'running'
          and lease_expires_at < now() - make_interval(secs => grace_seconds)
        union all
        select 'orphan_message', id from seen_messages where owner_id is null
        union all
        select 'orphan_turn', id from seen_turns where owner_id is null
        union all
        select 'message_of_unknown_turn', id
        from seen_messages
        where turn_id is not null
          and known_turn_id is null
    ),
    lists (name, ids) as (
        select name, jsonb_agg(id order by id) from broken group by name
    )
    select coalesce(jsonb_object_agg(name, ids), '{}') from lists;
$$;

revoke all on function private.find_broken from public, anon, authenticated, service_role;
grant execute on function private.find_broken to service_role;
comment on function private.find_broken is
    'The ids of what is broken, by the name of the check: of a conversation for seq and created_at, else of the row. With since, only in the hundred newest conversations with a message from then on, and in a hundred with a turn that lost its worker.';

create function public.check_invariants(
    grace_seconds integer default 120,
    since timestamptz default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
set statement_timeout = '10min'
as $$
    -- Materialized, so that it is found once and not for each check.
    with found (ids) as materialized (
        select private.find_broken(grace_seconds, since)
    )
    select jsonb_build_object('checks', jsonb_agg(
        jsonb_build_object(
            'name', checks.name,
            'broken', coalesce(jsonb_array_length(found.ids -> checks.name), 0),
            'examples', coalesce(jsonb_path_query_array(found.ids -> checks.name, '$[0 to 4]'), '[]'),
            'repairable', checks.repairable
        )
        order by checks.place
    ))
    from (values
        (1, 'turn_without_message', false),
        (2, 'settled_turn_without_reply', true),
        (3, 'turn_with_two_replies', true),
        (4, 'seq_gap', true),
        (5, 'seq_tie', true),
        (6, 'last_seq_wrong', true),
        (7, 'created_at_out_of_order', true),
        (8, 'key_used_twice', true),
        (9, 'message_of_another_owner', true),
        (10, 'turn_of_another_owner', true),
        (11, 'turn_without_worker', true),
        (12, 'orphan_message', true),
        (13, 'orphan_turn', true),
        (14, 'message_of_unknown_turn', true)
    ) as checks (place, name, repairable)
    cross join found;
$$;

revoke all on function public.check_invariants from public, anon, authenticated, service_role;
grant execute on function public.check_invariants to service_role;
comment on function public.check_invariants is
    'Every check with how many are broken and up to five of their ids. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is cheap, and looks only where find_broken says.';
