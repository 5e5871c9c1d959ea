-- What must hold of the stored rows after any run is checked, and repaired. Constraints keep most of
-- it; a restore, a dropped constraint or a hand that bypassed them is what is looked for. What is wrong,
-- and how it is repaired, stands with what it is about: places, owners, turns. Here are the steps: the
-- rows of one table after the other are checked by their ids, a page at a time, and what was found of a
-- user is repaired. Live events are not looked at: they are Realtime's, which drops them after three days.

-- In the order in which a repair works: owners and places come before replies, which are inserted where
-- those are right.
create function private.list_checks()
returns text[]
language sql immutable security invoker set search_path = ''
as $$
    select array[
        'turn_without_message', 'message_of_unknown_turn', 'conversation_missing', 'key_used_twice',
        'row_of_another_owner', 'seq_gap', 'seq_tie', 'created_at_out_of_order', 'last_seq_wrong',
        'branch_wrong', 'turn_with_two_replies', 'settled_turn_without_reply', 'turn_without_worker',
        'draft_left_behind', 'import_left_behind', 'summary_of_no_message', 'words_of_no_message',
        'watermark_too_high', 'content_not_of_parts'
    ];
$$;

comment on function private.list_checks is 'The names of all checks.';

-- What was written of late, and no more than a few thousand rows of it: no proof, but cheap.
create function private.list_newest(since timestamptz, lost_since timestamptz)
returns table (stage text, ids uuid[])
language sql stable security invoker set search_path = ''
as $$
    with latest as (
        select m.id, m.conversation_id, m.turn_id, m.created_at
        from public.messages as m
        where (m.created_at at time zone 'utc') between (since at time zone 'utc') and 'infinity'
        order by m.created_at desc
        limit 2000
    ),
    newest as (
        select l.conversation_id as id
        from latest as l
        group by l.conversation_id
        order by max(l.created_at) desc
        limit 100
    ),
    stuck as (
        select t.id, t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at < lost_since
        limit 100
    )
    select 'private.conversations', array(
        select id from newest union select conversation_id from stuck
    )
    union all
    select 'public.messages', array(select id from latest)
    union all
    select 'public.turns', array(
        select turn_id from latest where turn_id is not null union select id from stuck
    );
$$;

comment on function private.list_newest is 'The two thousand newest messages from a moment on, their turns and the hundred newest of their conversations; and a hundred turns that lost their worker, with theirs.';

create function private.find_broken(stage text, ids uuid[], lost_since timestamptz)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(to_jsonb(b)), '[]')
    from (
        select * from private.find_broken_conversations(ids)
        where coalesce(stage = 'private.conversations', true)
        union
        select * from private.find_broken_messages(ids)
        where coalesce(stage = 'public.messages', true)
        union
        select * from private.find_broken_turns(ids, lost_since)
        where coalesce(stage = 'public.turns', true)
        union
        select * from private.find_left_behind(ids)
        where coalesce(
            stage in ('public.summaries', 'search.documents', 'private.import_parts'), true
        )
    ) as b;
$$;

comment on function private.find_broken is 'What is broken of these rows of a table, or of whichever have these ids: [{name, user_id, id}].';

-- A listing: it reads over all users, and repair_invariants then writes for one. Runs as its owner,
-- because nobody is granted the search index, which holds content too.
create function public.check_invariants(
    grace_seconds integer default 120,
    since timestamptz default null,
    after jsonb default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
set jit = off -- compiling takes longer than most of these queries
as $$
declare
    c_stages constant text[] := array[
        'private.conversations', 'public.messages', 'public.turns', 'public.summaries',
        'search.documents', 'private.import_parts'
    ];
    c_first constant uuid := '00000000-0000-0000-0000-000000000000';
    v_lost_since constant timestamptz := now() - make_interval(secs => grace_seconds);
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_stage text := coalesce(after ->> 'stage', c_stages[1]);
    v_id uuid := coalesce((after ->> 'id')::uuid, c_first);
    v_ids uuid[];
    v_found jsonb := '[]';
    v_rows bigint := 0;
begin
    if since is not null then
        for v_stage, v_ids in select * from private.list_newest(since, v_lost_since) loop
            v_found := v_found || private.find_broken(v_stage, v_ids, v_lost_since);
            v_rows := v_rows + cardinality(v_ids);
        end loop;
        v_stage := null;
    end if;

    while v_stage is not null loop
        execute format(
            'select array(select distinct %1$I from %2$s where %1$I > $1 order by %1$I limit 2000)',
            case v_stage
                when 'search.documents' then 'message_id'
                when 'private.import_parts' then 'import_id'
                else 'id'
            end,
            v_stage
        ) into v_ids using v_id;
        v_found := v_found || private.find_broken(v_stage, v_ids, v_lost_since);
        v_rows := v_rows + cardinality(v_ids);
        v_id := v_ids[cardinality(v_ids)];

        if v_id is null then
            v_stage := c_stages[array_position(c_stages, v_stage) + 1];
            v_id := c_first;
        end if;
        exit when clock_timestamp() > v_until or jsonb_array_length(v_found) > 10000;
    end loop;

    return jsonb_build_object(
        'checks', to_jsonb(private.list_checks()),
        'broken', (
            select coalesce(jsonb_agg(distinct f.row), '[]')
            from jsonb_array_elements(v_found) as f (row)
            -- A step looks at what waits for the index; a look at what is new has no time for it.
            where since is null or f.row ->> 'name' <> 'watermark_too_high'
        ),
        'rows', v_rows,
        'next', case when v_stage is not null then
            jsonb_build_object('stage', v_stage, 'id', v_id)
        end
    );
end;
$$;

revoke all on function public.check_invariants from public, anon, authenticated, service_role;
grant execute on function public.check_invariants to service_role;
comment on function public.check_invariants is 'A step of a check of everything: {checks: the names of all, broken: [{name, user_id, id}], rows looked at, next: the after of the next step, or null}. The id is that of a conversation for places, owners and missing ones, else of the row. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is one cheap step, and looks only where list_newest says.';

-- What was found may be repaired by now, or be something else's name: a row is checked once more, and
-- what is done to a conversation changes nothing of one that is whole.
create function private.repair_broken(user_id uuid, check_name text, broken_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    case check_name
        when 'conversation_missing' then
            return private.recover_conversation(user_id, broken_id);
        when 'row_of_another_owner' then
            return private.give_to_owner(user_id, broken_id);
        when 'seq_gap', 'seq_tie', 'created_at_out_of_order' then
            return private.renumber_conversation(user_id, broken_id);
        when 'last_seq_wrong', 'branch_wrong' then
            return private.recount_conversation(user_id, broken_id);
        when 'watermark_too_high' then
            return private.lower_watermark(user_id, broken_id);
        when 'settled_turn_without_reply', 'turn_without_worker' then
            return private.settle_by_reply(user_id, broken_id);
        else
            if not private.find_broken(null, array[broken_id], now()) @> jsonb_build_array(
                jsonb_build_object('name', check_name, 'user_id', user_id, 'id', broken_id)
            ) then
                return false;
            end if;
    end case;

    case check_name
        when 'message_of_unknown_turn' then
            update public.messages as m
            set turn_id = null
            where m.user_id = repair_broken.user_id and m.id = repair_broken.broken_id;

        when 'key_used_twice' then
            update public.turns as t
            set idempotency_key = left(t.idempotency_key, 218) || '-' || t.id
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id;

        when 'turn_with_two_replies' then -- the first one is the turn's
            update public.messages as m
            set turn_id = null
            where m.user_id = repair_broken.user_id and m.turn_id = repair_broken.broken_id
              and m.role = 'assistant'
              and m.id <> (
                  select o.id
                  from public.messages as o
                  where o.user_id = m.user_id and o.turn_id = m.turn_id
                    and o.role = 'assistant'
                  order by o.seq, o.id
                  limit 1
              );

        when 'draft_left_behind' then
            update public.turns as t
            set draft = '',
                draft_parts = '[]'
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id;

        when 'summary_of_no_message' then
            delete from public.summaries as s
            where s.user_id = repair_broken.user_id and s.id = repair_broken.broken_id;

        when 'words_of_no_message' then
            delete from search.documents as d
            where d.user_id = repair_broken.user_id and d.message_id = repair_broken.broken_id;

        when 'import_left_behind' then
            delete from private.import_parts as p
            where p.user_id = repair_broken.user_id and p.import_id = repair_broken.broken_id;

        else
            return false;
    end case;

    return found;
end;
$$;

comment on function private.repair_broken is 'Repairs one thing that a check found; false where it could not.';

-- Runs as its owner, because messages are append-only for everybody, the service included: this
-- is the one way to change a stored message's place, owner or turn. It never changes what one
-- says, and never deletes one.
create function public.repair_invariants(user_id uuid, broken jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
declare
    v_broken record;
    v_counts jsonb := '{}';
begin
    -- Whoever writes to one goes first; in the order in which whoever locks several takes them.
    perform 1
    from public.conversations as c
    where c.user_id = repair_invariants.user_id
      and c.id in (
          select coalesce(t.conversation_id, b.id)
          from jsonb_to_recordset(broken) as b (id uuid)
          left join public.turns as t on t.user_id = repair_invariants.user_id and t.id = b.id
      )
    order by c.id
    for update;

    for v_broken in
        select b.name, b.id
        from jsonb_to_recordset(broken) as b (name text, id uuid)
        order by array_position(private.list_checks(), b.name)
    loop
        begin
            if private.repair_broken(user_id, v_broken.name, v_broken.id) then
                v_counts := v_counts || jsonb_build_object(
                    v_broken.name, coalesce((v_counts ->> v_broken.name)::integer, 0) + 1
                );
            end if;
        exception
            when integrity_constraint_violation then
                null; -- something else is wrong with it, which is repaired first or by hand
        end;
    end loop;

    return jsonb_build_object('repaired', v_counts);
end;
$$;

revoke all on function public.repair_invariants from public, anon, authenticated, service_role;
grant execute on function public.repair_invariants to service_role;
comment on function public.repair_invariants is 'Repairs what check_invariants found of one user, [{name, id}], and says how much of each: {repaired: {name: count}}. Never deletes a message and never changes its text. Leaves a turn whose message is lost, and rows of accounts that are gone. What a repair brings to light, the next check finds.';
