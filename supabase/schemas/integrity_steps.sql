-- A check of everything, in steps: a page of one table after the other, for two seconds a call.

-- In the order in which a repair works: owners and places come before replies, which are inserted where
-- those are right.
create function private.list_checks()
returns text[]
language sql immutable security invoker set search_path = ''
as $$
    select array[
        'turn_without_message', 'message_of_unknown_turn', 'conversation_missing', 'key_used_twice',
        'row_of_another_owner', 'seq_gap', 'seq_tie', 'created_at_out_of_order', 'last_seq_wrong',
        'turn_with_two_replies', 'settled_turn_without_reply', 'turn_without_worker',
        'branch_wrong', 'draft_left_behind', 'import_left_behind', 'summary_of_no_message',
        'words_of_no_message', 'watermark_too_high', 'content_not_of_parts'
    ];
$$;

comment on function private.list_checks is 'The names of all checks.';

-- A page ends where its conversations' messages are many; a long conversation is several pages.
create function private.check_conversations(after_id uuid, starts_at bigint)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    c_messages constant bigint := 20000;
    v_ids uuid[] := array[after_id];
    v_last uuid;
    v_newest bigint;
begin
    if starts_at is null then
        select coalesce(array_agg(w.id order by w.id), '{}') into v_ids
        from (
            select c.id, sum(c.last_seq) over (order by c.id) - c.last_seq as ahead
            from (
                select o.id, o.last_seq
                from private.conversations as o
                where o.id > after_id
                order by o.id
                limit 1000
            ) as c
        ) as w
        where w.ahead < c_messages;
    end if;
    v_last := v_ids[cardinality(v_ids)];

    select max(m.seq) into v_newest
    from private.conversations as c
    join public.messages as m on m.user_id = c.user_id and m.conversation_id = c.id
    where c.id = v_last;

    return jsonb_build_object(
        'found', (
            select coalesce(jsonb_agg(to_jsonb(b)), '[]')
            from private.find_broken_places(v_ids, starts_at) as b
        ),
        'rows', cardinality(v_ids),
        'id', v_last,
        'seq', coalesce(starts_at, 1) + case
            when v_newest > coalesce(starts_at, 1) + c_messages then c_messages
        end
    );
end;
$$;

comment on function private.check_conversations is 'Checks the places in the conversations that follow one, or from a seq on in one that is long: {found, rows, id, seq}, the last two where the next page begins.';

create function private.check_rows(stage text, after_id uuid, lost_since timestamptz)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    c_rows constant integer := 2000;
    v_ids uuid[];
    v_found jsonb;
begin
    case stage
        when 'messages' then
            v_ids := array(
                select m.id from public.messages as m where m.id > after_id order by m.id limit c_rows
            );
            select jsonb_agg(to_jsonb(b)) into v_found from private.find_broken_messages(v_ids) as b;

        when 'turns' then
            v_ids := array(
                select t.id from public.turns as t where t.id > after_id order by t.id limit c_rows
            );
            select jsonb_agg(to_jsonb(b)) into v_found
            from private.find_broken_turns(v_ids, lost_since) as b;

        when 'summaries' then
            v_ids := array(
                select s.id from public.summaries as s where s.id > after_id order by s.id limit c_rows
            );
            select jsonb_agg(jsonb_build_object(
                'name', 'summary_of_no_message', 'user_id', s.user_id, 'id', s.id
            ))
            into v_found
            from public.summaries as s
            where s.id = any (v_ids)
              and not exists (
                  select 1 from public.messages as m where m.user_id = s.user_id and m.id = s.id
              );

        when 'words' then
            v_ids := array(
                select distinct d.message_id
                from (
                    select o.message_id
                    from search.documents as o
                    where o.message_id > after_id
                    order by o.message_id
                    fetch first c_rows rows with ties
                ) as d
                order by d.message_id
            );
            select jsonb_agg(distinct jsonb_build_object(
                'name', 'words_of_no_message', 'user_id', d.user_id, 'id', d.message_id
            ))
            into v_found
            from search.documents as d
            where d.message_id = any (v_ids)
              and not exists (
                  select 1
                  from public.messages as m
                  where m.user_id = d.user_id and m.id = d.message_id
              );

        when 'imports' then
            select jsonb_agg(jsonb_build_object(
                'name', 'import_left_behind', 'user_id', i.user_id, 'id', i.import_id
            ))
            into v_found
            from (
                select p.user_id, p.import_id
                from private.import_parts as p
                group by p.user_id, p.import_id
                having max(p.taken_at) < now() - interval '1 hour'
                limit c_rows
            ) as i;
    end case;

    return jsonb_build_object(
        'found', coalesce(v_found, '[]'),
        'rows', coalesce(cardinality(v_ids), 0),
        'id', case when cardinality(v_ids) > 0 then v_ids[cardinality(v_ids)] end
    );
end;
$$;

comment on function private.check_rows is 'Checks the rows of a table that follow one: {found, rows, id}, the last where the next page begins.';

-- What was written of late, and no more than a few thousand rows of it: no proof, but cheap.
create function private.check_newest(since timestamptz, lost_since timestamptz)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    with written as materialized (
        select m.id, m.conversation_id, m.turn_id, m.created_at
        from public.messages as m
        where (m.created_at at time zone 'utc') between (since at time zone 'utc') and 'infinity'
    ),
    newest as (
        select w.conversation_id as id
        from written as w
        group by w.conversation_id
        order by max(w.created_at) desc
        limit 100
    ),
    latest as (
        select w.id, w.turn_id from written as w order by w.created_at desc limit 2000
    ),
    stuck as (
        select t.id, t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at < lost_since
        limit 100
    ),
    broken as (
        select *
        from private.find_broken_places(
            array(select id from newest union select conversation_id from stuck), newest => 200
        )
        union
        select * from private.find_broken_messages(array(select id from latest))
        union
        select *
        from private.find_broken_turns(
            array(
                select turn_id from latest where turn_id is not null union select id from stuck
            ),
            lost_since
        )
    )
    select jsonb_build_object(
        'found', (select coalesce(jsonb_agg(to_jsonb(b)), '[]') from broken as b),
        'rows', (select count(*) from latest)
    );
$$;

comment on function private.check_newest is 'Checks the hundred newest conversations with a message from a moment on, of each its newest messages, and a hundred turns that lost their worker: {found, rows}.';

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
        'conversations', 'messages', 'turns', 'summaries', 'words', 'imports'
    ];
    c_first constant uuid := '00000000-0000-0000-0000-000000000000';
    v_lost_since constant timestamptz := now() - make_interval(secs => grace_seconds);
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_stage text := coalesce(after ->> 'stage', c_stages[1]);
    v_id uuid := coalesce((after ->> 'id')::uuid, c_first);
    v_seq bigint := (after ->> 'seq')::bigint;
    v_page jsonb;
    v_found jsonb := '[]';
    v_rows bigint := 0;
begin
    if since is not null then
        v_page := private.check_newest(since, v_lost_since);
        v_found := v_page -> 'found';
        v_rows := v_page -> 'rows';
        v_stage := null;
    end if;

    while v_stage is not null loop
        v_page := case v_stage
            when 'conversations' then private.check_conversations(v_id, v_seq)
            else private.check_rows(v_stage, v_id, v_lost_since)
        end;
        v_found := v_found || (v_page -> 'found');
        v_rows := v_rows + (v_page ->> 'rows')::bigint;
        v_id := v_page ->> 'id';
        v_seq := v_page ->> 'seq';

        if v_id is null then
            v_stage := c_stages[array_position(c_stages, v_stage) + 1];
            v_id := c_first;
        end if;
        exit when clock_timestamp() > v_until or jsonb_array_length(v_found) > 10000;
    end loop;

    return jsonb_build_object(
        'checks', to_jsonb(private.list_checks()),
        'broken', (
            select coalesce(jsonb_agg(b.row), '[]')
            from (
                select distinct f.row
                from jsonb_array_elements(v_found) as f (row)
                where f.row -> 'user_id' <> 'null'
            ) as b
        ),
        'rows', v_rows,
        'next', case when v_stage is not null then
            jsonb_build_object('stage', v_stage, 'id', v_id, 'seq', v_seq)
        end
    );
end;
$$;

revoke all on function public.check_invariants from public, anon, authenticated, service_role;
grant execute on function public.check_invariants to service_role;
comment on function public.check_invariants is 'A step of a check of everything: {checks: the names of all, broken: [{name, user_id, id}], rows looked at, next: the after of the next step, or null}. The id is that of a conversation for places, owners and missing ones, else of the row. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is one cheap step, and looks only where check_newest says.';
