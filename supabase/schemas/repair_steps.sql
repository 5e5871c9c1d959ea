-- The parts of a repair. Each looks again under the lock of the conversation, and says whether it
-- changed anything. Granted to nobody: repair_invariants alone calls them, as its owner.
create function private.lock_conversation(conversation_id uuid)
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

revoke all on function private.lock_conversation from public, anon, authenticated, service_role;
comment on function private.lock_conversation is
    'Waits until nobody else writes to a conversation; false where there is none.';

create function private.recount_conversation(conversation_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    if not private.lock_conversation(conversation_id) then
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

revoke all on function private.recount_conversation from public, anon, authenticated, service_role;
comment on function private.recount_conversation is
    'Sets a conversation''s last_seq to that of its newest message, and its last activity no earlier.';

create function private.renumber_conversation(conversation_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    if not private.lock_conversation(conversation_id) then
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

    return private.recount_conversation(conversation_id);
end;
$$;

revoke all on function private.renumber_conversation from public, anon, authenticated, service_role;
comment on function private.renumber_conversation is
    'Numbers a conversation''s messages 1, 2, 3 ... by seq, then created_at, then id, and makes created_at grow with it.';

create function private.recover_conversation(conversation_id uuid, user_id uuid)
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

    return private.recount_conversation(v_id);
end;
$$;

revoke all on function private.recover_conversation from public, anon, authenticated, service_role;
comment on function private.recover_conversation is
    'Gives a user''s rows whose conversation is gone one with its id, titled Recovered; false where the account is gone too.';

create function private.drop_second_replies(turn_id uuid)
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
    perform private.lock_conversation(t.conversation_id)
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

revoke all on function private.drop_second_replies from public, anon, authenticated, service_role;
comment on function private.drop_second_replies is
    'Leaves a turn the reply it points to, else its first; the others stay as messages outside of any turn.';

create function private.answer_turn(turn_id uuid)
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
    perform private.lock_conversation(t.conversation_id)
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
        perform private.interrupt_turn(v_turn.id);
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

revoke all on function private.answer_turn from public, anon, authenticated, service_role;
comment on function private.answer_turn is
    'Points a turn without a worker, or without the reply it names, to the stored reply that is its own; where there is none, interrupts it.';
