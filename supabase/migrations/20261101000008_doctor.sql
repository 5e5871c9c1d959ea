-- The doctor: what must hold of the stored rows after any run, as checks that one call makes, and
-- how to mend what does not. Constraints keep most of it; a restore, a dropped constraint or a
-- hand that bypassed them is what is looked for here.

-- Lets the bounded check find the newest messages without reading the others: messages come in the
-- order of their created_at, so a few bytes for each megabyte are enough.
create index idx_messages_created_at
    on public.messages using brin (created_at) with (autosummarize = on);

create function public.find_broken(
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

revoke all on function public.find_broken(integer, timestamptz)
    from public, anon, authenticated, service_role;
grant execute on function public.find_broken(integer, timestamptz) to service_role;
comment on function public.find_broken(integer, timestamptz) is
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
        select public.find_broken(grace_seconds, since)
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

revoke all on function public.check_invariants(integer, timestamptz)
    from public, anon, authenticated, service_role;
grant execute on function public.check_invariants(integer, timestamptz) to service_role;
comment on function public.check_invariants(integer, timestamptz) is
    'Every check with how many are broken and up to five of their ids. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is cheap, and looks only where find_broken says.';

-- The parts of a repair. Each looks again under the lock of the conversation, and says whether it
-- changed anything. Granted to nobody: repair_invariants alone calls them, as its owner.

create function public.lock_conversation(conversation_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    perform 1
    from public.conversations as c
    where c.id = lock_conversation.conversation_id
    for update;

    return found;
end;
$$;

revoke all on function public.lock_conversation(uuid) from public, anon, authenticated, service_role;
comment on function public.lock_conversation(uuid) is
    'Waits until nobody else writes to a conversation; false where there is none.';

create function public.recount_conversation(conversation_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    if not public.lock_conversation(conversation_id) then
        return false;
    end if;

    -- The next message takes its place from these two.
    update public.conversations as c
    set last_seq = coalesce(newest.seq, 0),
        updated_at = greatest(c.updated_at, newest.created_at)
    from (
        select max(m.seq) as seq, max(m.created_at) as created_at
        from public.messages as m
        where m.conversation_id = recount_conversation.conversation_id
    ) as newest
    where c.id = recount_conversation.conversation_id;

    return true;
end;
$$;

revoke all on function public.recount_conversation(uuid) from public, anon, authenticated, service_role;
comment on function public.recount_conversation(uuid) is
    'Sets a conversation''s last_seq to that of its newest message, and its last activity no earlier.';

create function public.renumber_conversation(conversation_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    if not public.lock_conversation(conversation_id) then
        return false;
    end if;

    -- In two steps, since two rows may not share a seq even for a moment: first above all there
    -- are, then down to 1 ... n. A created_at that is not later than the one before it becomes
    -- that one's and a microsecond.
    update public.messages as m
    set seq = placed.above + placed.place,
        created_at = placed.created_at
    from (
        select o.id,
               o.place,
               greatest(max(o.seq) over (), count(*) over ()) as above,
               max(o.created_at - o.place * interval '1 microsecond') over (order by o.place)
                   + o.place * interval '1 microsecond' as created_at
        from (
            select m.id, m.seq, m.created_at,
                   row_number() over (order by m.seq, m.created_at, m.id) as place
            from public.messages as m
            where m.conversation_id = renumber_conversation.conversation_id
        ) as o
    ) as placed
    where m.id = placed.id;

    update public.messages as m
    set seq = m.seq - raised.above
    from (
        select max(m.seq) - count(*) as above
        from public.messages as m
        where m.conversation_id = renumber_conversation.conversation_id
    ) as raised
    where m.conversation_id = renumber_conversation.conversation_id;

    return public.recount_conversation(conversation_id);
end;
$$;

revoke all on function public.renumber_conversation(uuid) from public, anon, authenticated, service_role;
comment on function public.renumber_conversation(uuid) is
    'Numbers a conversation''s messages 1, 2, 3 ... by seq, then created_at, then id, and makes created_at grow with it.';

create function public.recover_conversation(conversation_id uuid, user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_id uuid := recover_conversation.conversation_id;
begin
    -- Rows of an account that is gone belong to nobody who could be shown them.
    if not exists (select 1 from auth.users as u where u.id = recover_conversation.user_id) then
        return false;
    end if;

    insert into public.conversations (id, user_id, title)
    values (v_id, recover_conversation.user_id, 'Recovered')
    on conflict on constraint conversations_pkey do nothing;

    if exists (
        select 1
        from public.conversations as c
        where c.id = v_id
          and c.user_id <> recover_conversation.user_id
    ) then
        -- Somebody else's rows had the same id and came first: nobody is shown another's.
        insert into public.conversations (user_id, title)
        values (recover_conversation.user_id, 'Recovered')
        returning id into v_id;

        update public.messages as m
        set conversation_id = v_id
        where m.conversation_id = recover_conversation.conversation_id
          and m.user_id = recover_conversation.user_id;

        update public.turns as t
        set conversation_id = v_id
        where t.conversation_id = recover_conversation.conversation_id
          and t.user_id = recover_conversation.user_id;
    end if;

    return public.recount_conversation(v_id);
end;
$$;

revoke all on function public.recover_conversation(uuid, uuid) from public, anon, authenticated, service_role;
comment on function public.recover_conversation(uuid, uuid) is
    'Gives a user''s rows whose conversation is gone one with its id, titled Recovered; false where the account is gone too.';

create function public.drop_second_replies(turn_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_kept_id uuid;
begin
    perform public.lock_conversation(t.conversation_id)
    from public.turns as t
    where t.id = drop_second_replies.turn_id;

    select m.id into v_kept_id
    from public.messages as m
    join public.turns as t on t.id = m.turn_id
    where t.id = drop_second_replies.turn_id
      and m.role = 'assistant'
    order by (m.id = t.reply_message_id) desc, m.seq, m.id
    limit 1;

    update public.messages as m
    set turn_id = null
    where m.turn_id = drop_second_replies.turn_id
      and m.role = 'assistant'
      and m.id <> v_kept_id;

    return found;
end;
$$;

revoke all on function public.drop_second_replies(uuid) from public, anon, authenticated, service_role;
comment on function public.drop_second_replies(uuid) is
    'Leaves a turn the reply it points to, else its first; the others stay as messages outside of any turn.';

create function public.answer_turn(turn_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_reply public.messages;
begin
    perform public.lock_conversation(t.conversation_id)
    from public.turns as t
    where t.id = answer_turn.turn_id;

    select t.* into v_turn
    from public.turns as t
    join public.conversations as c on c.id = t.conversation_id and c.user_id = t.user_id
    where t.id = answer_turn.turn_id
    for update of t;

    -- Without a conversation there is no place for a reply, and a turn with a lease has a worker.
    if not found or (v_turn.status = 'running' and v_turn.lease_expires_at > clock_timestamp()) then
        return false;
    end if;

    select m.* into v_reply
    from public.messages as m
    where m.conversation_id = v_turn.conversation_id
      and m.role = 'assistant'
      and (m.turn_id = v_turn.id or m.turn_id is null and m.id = v_turn.reply_message_id)
    order by m.turn_id nulls last, m.seq
    limit 1;

    if not found then
        perform public.interrupt_turn(v_turn.id);
        return true;
    end if;

    -- A turn that claims this one's reply is broken too, and gets its own when it is its turn.
    update public.turns as t
    set reply_message_id = gen_random_uuid()
    where t.reply_message_id = v_reply.id
      and t.id <> v_turn.id;

    update public.messages as m
    set turn_id = v_turn.id
    where m.id = v_reply.id
      and m.turn_id is null;

    update public.turns as t
    set reply_message_id = v_reply.id,
        status = case
            when t.status <> 'running' then t.status
            when v_reply.metadata ->> 'success' = 'true' then 'completed'
            else 'interrupted'
        end,
        draft = '',
        finished_at = coalesce(t.finished_at, v_reply.created_at)
    where t.id = v_turn.id;

    return true;
end;
$$;

revoke all on function public.answer_turn(uuid) from public, anon, authenticated, service_role;
comment on function public.answer_turn(uuid) is
    'Points a turn without a worker, or without the reply it names, to the stored reply that is its own; where there is none, interrupts it.';

create function public.repair_broken(check_name text, broken_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation_id uuid;
    v_user_id uuid;
begin
    case check_name
        when 'message_of_unknown_turn' then
            update public.messages as m
            set turn_id = null
            where m.id = repair_broken.broken_id
              and not exists (select 1 from public.turns as t where t.id = m.turn_id);

        when 'orphan_message' then
            select m.conversation_id, m.user_id into v_conversation_id, v_user_id
            from public.messages as m
            where m.id = repair_broken.broken_id;
            return public.recover_conversation(v_conversation_id, v_user_id);

        when 'orphan_turn' then
            select t.conversation_id, t.user_id into v_conversation_id, v_user_id
            from public.turns as t
            where t.id = repair_broken.broken_id;
            return public.recover_conversation(v_conversation_id, v_user_id);

        when 'key_used_twice' then
            update public.turns as t
            set idempotency_key = left(t.idempotency_key, 218) || '-' || t.id
            where t.id = repair_broken.broken_id;

        when 'message_of_another_owner' then
            update public.messages as m
            set user_id = c.user_id
            from public.conversations as c
            where c.id = m.conversation_id
              and m.id = repair_broken.broken_id;

        when 'turn_of_another_owner' then
            -- The right owner may have used the same key.
            update public.turns as t
            set user_id = c.user_id,
                idempotency_key = case
                    when exists (
                        select 1
                        from public.turns as o
                        where o.user_id = c.user_id
                          and o.idempotency_key = t.idempotency_key
                          and o.id <> t.id
                    ) then left(t.idempotency_key, 218) || '-' || t.id
                    else t.idempotency_key
                end
            from public.conversations as c
            where c.id = t.conversation_id
              and t.id = repair_broken.broken_id;

        when 'seq_gap', 'seq_tie', 'created_at_out_of_order' then
            return public.renumber_conversation(broken_id);

        when 'last_seq_wrong' then
            return public.recount_conversation(broken_id);

        when 'turn_with_two_replies' then
            return public.drop_second_replies(broken_id);

        when 'settled_turn_without_reply', 'turn_without_worker' then
            return public.answer_turn(broken_id);
    end case;

    return found;
end;
$$;

revoke all on function public.repair_broken(text, uuid) from public, anon, authenticated, service_role;
comment on function public.repair_broken(text, uuid) is
    'Mends one thing that a check found; false where it could not.';

-- Runs as its owner, because messages are append-only for everybody, the service included: this
-- is the one way to change a stored message's place, owner or turn. It never changes what one
-- says, and never deletes one.
create function public.repair_invariants(grace_seconds integer default 120)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set statement_timeout = '10min'
as $$
declare
    -- Owners and places come before replies, which are inserted where those are right.
    c_order constant text[] := array[
        'message_of_unknown_turn', 'orphan_message', 'orphan_turn', 'key_used_twice',
        'message_of_another_owner', 'turn_of_another_owner', 'seq_gap', 'seq_tie',
        'created_at_out_of_order', 'last_seq_wrong', 'turn_with_two_replies',
        'settled_turn_without_reply', 'turn_without_worker'
    ];
    v_found jsonb;
    v_name text;
    v_id uuid;
    v_is_mended boolean;
    v_counts jsonb := '{}';
begin
    -- What one repair brings to light, the next round mends.
    for v_round in 1..5 loop
        v_found := public.find_broken(grace_seconds);
        v_is_mended := false;

        foreach v_name in array c_order loop
            for v_id in
                select jsonb_array_elements_text(v_found -> v_name)::uuid
            loop
                if public.repair_broken(v_name, v_id) then
                    v_is_mended := true;
                    v_counts := v_counts || jsonb_build_object(
                        v_name, coalesce((v_counts ->> v_name)::integer, 0) + 1
                    );
                end if;
            end loop;
        end loop;

        exit when not v_is_mended;
    end loop;

    return jsonb_build_object('repaired', (
        select jsonb_agg(
            jsonb_build_object('name', name, 'repaired', coalesce((v_counts ->> name)::integer, 0))
            order by place
        )
        from unnest(c_order) with ordinality as repairs (name, place)
    ));
end;
$$;

revoke all on function public.repair_invariants(integer) from public, anon, authenticated, service_role;
grant execute on function public.repair_invariants(integer) to service_role;
comment on function public.repair_invariants(integer) is
    'Mends what check_invariants finds, and says how much of each. Never deletes a message and never changes its text. Leaves a turn whose message is lost, and rows of accounts that are gone.';
