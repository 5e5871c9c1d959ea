-- Places: seq is 1, 2, 3 ... in each conversation, and created_at, the branches and the search's
-- watermark agree with it. A conversation says what its newest messages and branches are; below is how
-- that is repaired, and places are, under the lock that repair_invariants takes.

create function private.branch_at(user_id uuid, conversation_id uuid, seq bigint)
returns integer
language sql stable security invoker set search_path = ''
as $$
    select coalesce(max(b.branch), 0)
    from public.branches as b
    where b.user_id = branch_at.user_id and b.conversation_id = branch_at.conversation_id
      and b.first_seq <= branch_at.seq;
$$;

comment on function private.branch_at is 'The branch that a seq is in.';

-- Each begins no earlier than the one before it and goes on from within its parent.
create function private.count_branches(user_id uuid, conversation_id uuid, last_seq bigint)
returns integer
language sql stable security invoker set search_path = ''
as $$
    select case
        when coalesce(bool_and(
            b.branch = b.nth
            and b.first_seq between b.previous_seq and count_branches.last_seq + 1
            and b.fork_seq >= coalesce(above.first_seq, 0)
            and b.fork_seq < coalesce(next.first_seq, 0)
        ), true) then count(b.branch)::integer
    end
    from (
        select o.*,
               row_number() over numbers as nth,
               lag(o.first_seq, 1, 0) over numbers as previous_seq
        from public.branches as o
        where o.user_id = count_branches.user_id
          and o.conversation_id = count_branches.conversation_id
        window numbers as (order by o.branch)
    ) as b
    left join public.branches as above
        on above.user_id = b.user_id and above.conversation_id = b.conversation_id
        and above.branch = b.parent
    left join public.branches as next
        on next.user_id = b.user_id and next.conversation_id = b.conversation_id
        and next.branch = b.parent + 1;
$$;

comment on function private.count_branches is 'How many branches a conversation has beside 0; null where they are no tree.';

create function private.find_broken_conversations(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select b.name, c.user_id, c.id
    from (
        select o.*,
               coalesce((
                   select max(m.seq)
                   from public.messages as m
                   where m.user_id = o.user_id and m.conversation_id = o.id
               ), 0) as newest_seq
        from private.conversations as o
        where o.id = any (ids)
    ) as c
    cross join lateral (
        values
            ('last_seq_wrong', c.last_seq <> c.newest_seq),
            ('branch_wrong',
             not c.active_branch between 0 and c.last_branch
             or private.count_branches(c.user_id, c.id, c.last_seq) is distinct from c.last_branch),
            -- It could come to be said of a message that isn't in the index.
            ('watermark_too_high', c.newest_seq < (
                select w.indexed_seq
                from search.watermarks as w
                where w.user_id = c.user_id and w.conversation_id = c.id
            ))
    ) as b (name, is_broken)
    where b.is_broken;
$$;

comment on function private.find_broken_conversations is 'What is broken of these conversations.';

-- Repairs seq_gap, seq_tie, created_at_out_of_order.
create function private.renumber_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_above bigint;
begin
    -- Branches keep what they have: places are counted below their ends.
    update public.branches as b
    set fork_seq = counted.forked,
        first_seq = counted.earlier + 1
    from (
        select o.branch,
               count(m.id) filter (where m.seq <= o.fork_seq) as forked,
               count(m.id) filter (where m.seq < o.first_seq) as earlier
        from public.branches as o
        left join public.messages as m
            on m.user_id = o.user_id and m.conversation_id = o.conversation_id
        where o.user_id = renumber_conversation.user_id
          and o.conversation_id = renumber_conversation.conversation_id
        group by o.branch
    ) as counted
    where b.user_id = renumber_conversation.user_id
      and b.conversation_id = renumber_conversation.conversation_id
      and b.branch = counted.branch;

    select greatest(max(m.seq), count(*)) into v_above
    from public.messages as m
    where m.user_id = renumber_conversation.user_id
      and m.conversation_id = renumber_conversation.conversation_id;

    -- In two steps, since two rows may not share a seq even for a moment: first what is wrong goes
    -- above all there are, then down to its place. A created_at that is not later than the one before
    -- it becomes that one's and a microsecond.
    update public.messages as m
    set seq = v_above + placed.place,
        created_at = placed.created_at
    from (
        select o.id,
               o.place,
               max(o.created_at - o.place * interval '1 microsecond') over (order by o.place)
                   + o.place * interval '1 microsecond' as created_at
        from (
            select m.id, m.seq, m.created_at,
                   row_number() over (order by m.seq, m.created_at, m.id) as place
            from public.messages as m
            where m.user_id = renumber_conversation.user_id
              and m.conversation_id = renumber_conversation.conversation_id
        ) as o
    ) as placed
    where m.user_id = renumber_conversation.user_id and m.id = placed.id
      and (m.seq, m.created_at) is distinct from (placed.place, placed.created_at);

    update public.messages as m
    set seq = m.seq - v_above
    where m.user_id = renumber_conversation.user_id
      and m.conversation_id = renumber_conversation.conversation_id
      and m.seq > v_above;

    return private.recount_conversation(user_id, conversation_id);
end;
$$;

comment on function private.renumber_conversation is 'Numbers a conversation''s messages 1, 2, 3 ... by seq, then created_at, then id, and makes created_at grow with it.';

-- Repairs last_seq_wrong, branch_wrong. Where no tree can be made of the branches, all messages are on
-- one path, in the order of writing.
create function private.recount_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_newest record;
    v_branches integer;
begin
    select coalesce(max(m.seq), 0) as seq, max(m.created_at) as created_at into v_newest
    from public.messages as m
    where m.user_id = recount_conversation.user_id
      and m.conversation_id = recount_conversation.conversation_id;

    v_branches := private.count_branches(user_id, conversation_id, v_newest.seq);
    if v_branches is null then
        delete from public.branches as b
        where b.user_id = recount_conversation.user_id
          and b.conversation_id = recount_conversation.conversation_id;
        v_branches := 0;
    end if;

    update public.messages as m
    set branch = private.branch_at(m.user_id, m.conversation_id, m.seq)
    where m.user_id = recount_conversation.user_id
      and m.conversation_id = recount_conversation.conversation_id
      and (v_branches > 0 or m.branch <> 0)
      and m.branch <> private.branch_at(m.user_id, m.conversation_id, m.seq);

    -- The next message takes its place from these.
    update public.conversations as c
    set last_seq = v_newest.seq,
        updated_at = greatest(c.updated_at, v_newest.created_at),
        last_branch = v_branches,
        active_branch = case
            when c.active_branch between 0 and v_branches then c.active_branch
            else v_branches
        end
    where c.user_id = recount_conversation.user_id and c.id = recount_conversation.conversation_id;

    return found;
end;
$$;

comment on function private.recount_conversation is 'Sets what a conversation says of its newest message and of its branches, and gives its messages the branches that their places are in.';

-- Repairs watermark_too_high: below the first message that is not in the index; what is there beyond
-- stays as it is.
create function private.lower_watermark(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into search.watermarks as w (user_id, conversation_id, indexed_seq)
    select c.user_id, c.id,
           coalesce(
               min(m.seq) filter (
                   where not exists (
                       select 1
                       from search.documents as d
                       where d.user_id = m.user_id and d.message_id = m.id
                   )
               ) - 1,
               max(m.seq),
               0
           )
    from public.conversations as c
    left join public.messages as m on m.user_id = c.user_id and m.conversation_id = c.id
    where c.user_id = lower_watermark.user_id and c.id = lower_watermark.conversation_id
    group by c.user_id, c.id
    on conflict on constraint watermarks_pkey do update
    set indexed_seq = least(w.indexed_seq, excluded.indexed_seq);

    return found;
end;
$$;

comment on function private.lower_watermark is 'Puts a conversation''s watermark below what is not in the search index, so that it is indexed next.';
