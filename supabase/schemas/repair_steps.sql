-- The parts of a repair. Each looks again under the lock of the conversation, and says whether it
-- changed anything. Granted to nobody: repair_invariants alone calls them, as its owner.
create function private.lock_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    perform 1
    from public.conversations as c
    where c.user_id = lock_conversation.user_id and c.id = lock_conversation.conversation_id
    for update;

    return found;
end;
$$;

comment on function private.lock_conversation is 'Waits until nobody else writes to a conversation; false where there is none.';

create function private.recount_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if not private.lock_conversation(user_id, conversation_id) then
        return false;
    end if;

    -- The next message takes its place from these two.
    update public.conversations as c
    set last_seq = coalesce(newest.seq, 0),
        updated_at = greatest(c.updated_at, newest.created_at)
    from (
        select max(m.seq) as seq, max(m.created_at) as created_at
        from public.messages as m
        where m.user_id = recount_conversation.user_id
          and m.conversation_id = recount_conversation.conversation_id
    ) as newest
    where c.user_id = recount_conversation.user_id and c.id = recount_conversation.conversation_id;

    return true;
end;
$$;

comment on function private.recount_conversation is 'Sets a conversation''s last_seq to that of its newest message, and its last activity no earlier.';

create function private.renumber_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_above bigint;
begin
    if not private.lock_conversation(user_id, conversation_id) then
        return false;
    end if;

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

    perform private.recount_conversation(user_id, conversation_id);
    return private.mend_branches(user_id, conversation_id);
end;
$$;

comment on function private.renumber_conversation is 'Numbers a conversation''s messages 1, 2, 3 ... by seq, then created_at, then id, and makes created_at grow with it.';

create function private.recover_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_id uuid := recover_conversation.conversation_id;
begin
    -- Rows of an account that is gone belong to nobody who could be shown them.
    if not exists (select 1 from auth.users as u where u.id = recover_conversation.user_id) then
        return false;
    end if;

    -- Where another's rows have the same id, it is nobody's: nobody is shown another's.
    if exists (
        select 1
        from public.messages as m
        where m.conversation_id = v_id
          and m.user_id <> recover_conversation.user_id
        union all
        select 1
        from public.turns as t
        where t.conversation_id = v_id
          and t.user_id <> recover_conversation.user_id
    ) then
        v_id := gen_random_uuid();
    end if;

    insert into public.conversations (id, user_id, title)
    values (v_id, recover_conversation.user_id, 'Recovered')
    on conflict do nothing;

    if v_id <> recover_conversation.conversation_id then
        update public.messages as m
        set conversation_id = v_id
        where m.user_id = recover_conversation.user_id
          and m.conversation_id = recover_conversation.conversation_id;

        update public.turns as t
        set conversation_id = v_id
        where t.user_id = recover_conversation.user_id
          and t.conversation_id = recover_conversation.conversation_id;

        update public.branches as b
        set conversation_id = v_id
        where b.user_id = recover_conversation.user_id
          and b.conversation_id = recover_conversation.conversation_id;

        update public.summaries as s
        set conversation_id = v_id
        where s.user_id = recover_conversation.user_id
          and s.conversation_id = recover_conversation.conversation_id;
    end if;

    perform private.recount_conversation(user_id, v_id);
    return private.mend_branches(user_id, v_id);
end;
$$;

comment on function private.recover_conversation is 'Gives a user''s rows whose conversation is gone one with its id, titled Recovered; false where the account is gone too.';

-- In one statement, since a message names its turn by its user too.
create function private.give_to_owner(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if not private.lock_conversation(user_id, conversation_id) then
        return false;
    end if;

    with given as (
        update public.turns as t
        set user_id = give_to_owner.user_id,
            -- The right owner may have used the same key.
            idempotency_key = case
                when exists (
                    select 1
                    from public.turns as o
                    where o.user_id = give_to_owner.user_id
                      and o.idempotency_key = t.idempotency_key
                ) then left(t.idempotency_key, 218) || '-' || t.id
                else t.idempotency_key
            end
        where t.conversation_id = give_to_owner.conversation_id
          and t.user_id <> give_to_owner.user_id
    )
    update public.messages as m
    set user_id = give_to_owner.user_id,
        turn_id = (
            select t.id
            from public.turns as t
            where t.conversation_id = m.conversation_id
              and t.id = m.turn_id
        )
    where m.conversation_id = give_to_owner.conversation_id
      and m.user_id <> give_to_owner.user_id;

    return true;
end;
$$;

comment on function private.give_to_owner is 'Makes all that is in a user''s conversation the user''s own.';

create function private.drop_second_replies(user_id uuid, turn_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    perform private.lock_conversation(t.user_id, t.conversation_id)
    from public.turns as t
    where t.user_id = drop_second_replies.user_id and t.id = drop_second_replies.turn_id;

    update public.messages as m
    set turn_id = null
    where m.user_id = drop_second_replies.user_id and m.turn_id = drop_second_replies.turn_id
      and m.role = 'assistant'
      and m.seq > (
          select min(o.seq)
          from public.messages as o
          where o.user_id = m.user_id and o.turn_id = m.turn_id
            and o.role = 'assistant'
      );

    return found;
end;
$$;

comment on function private.drop_second_replies is 'Leaves a turn its first reply; the others stay as messages outside of any turn.';

create function private.settle_by_reply(user_id uuid, turn_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_reply public.messages;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id;

    -- Without a conversation there is no place for a reply.
    if not private.lock_conversation(user_id, v_turn.conversation_id) then
        return false;
    end if;

    select t.* into v_turn
    from public.turns as t
    where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id
    for update;

    -- A turn with a lease has a worker.
    if v_turn.status = 'running' and v_turn.lease_expires_at > clock_timestamp() then
        return false;
    end if;

    select m.* into v_reply
    from public.messages as m
    where m.user_id = settle_by_reply.user_id and m.turn_id = settle_by_reply.turn_id
      and m.role = 'assistant'
    order by m.seq
    limit 1;

    if not found then
        -- Only a running turn can be interrupted, and a conversation has one of them: one that was
        -- settled and lost its reply waits for that one, and runs for this moment.
        if exists (
            select 1
            from public.turns as t
            where t.user_id = settle_by_reply.user_id
              and t.conversation_id = v_turn.conversation_id
              and t.id <> settle_by_reply.turn_id
              and t.status = 'running'
        ) then
            return false;
        end if;

        update public.turns as t
        set status = 'running',
            finished_at = null
        where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id
          and t.status <> 'running';

        perform private.interrupt_beside(user_id, v_turn);
        return true;
    end if;

    update public.turns as t
    set status = case
            when t.status <> 'running' then t.status
            when v_reply.metadata ->> 'success' = 'true' then 'completed'
            else 'interrupted'
        end,
        draft = '',
        draft_parts = '[]',
        finished_at = coalesce(t.finished_at, v_reply.created_at)
    where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id;

    return true;
end;
$$;

comment on function private.settle_by_reply is 'Settles a turn without a worker by its stored reply; where there is none, interrupts it.';

create function private.lower_watermark(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if not private.lock_conversation(user_id, conversation_id) then
        return false;
    end if;

    -- Below the first message that is not in the index; what is there beyond stays as it is.
    insert into search.watermarks as w (user_id, conversation_id, indexed_seq)
    select lower_watermark.user_id, lower_watermark.conversation_id,
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
    from public.messages as m
    where m.user_id = lower_watermark.user_id
      and m.conversation_id = lower_watermark.conversation_id
    on conflict on constraint watermarks_pkey do update
    set indexed_seq = least(w.indexed_seq, excluded.indexed_seq);

    return true;
end;
$$;

comment on function private.lower_watermark is 'Puts a conversation''s watermark below what is not in the search index, so that it is indexed next.';
