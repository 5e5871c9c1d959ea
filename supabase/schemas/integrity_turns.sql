-- Turns, which have one message and, once they are settled, one reply; and what is left behind by what
-- is gone.

-- Of a conversation that is being deleted, messages may be gone already.
create function private.find_broken_turns(ids uuid[], lost_since timestamptz)
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select distinct b.name, b.user_id, b.id
    from public.turns as t
    left join lateral (
        select c.user_id, c.deleting_since
        from public.conversations as c
        where c.id = t.conversation_id
        limit 1
    ) as owner on true
    cross join lateral (
        select count(*) filter (where m.role = 'user') as requests,
               count(*) filter (where m.role = 'assistant') as replies
        from public.messages as m
        where m.user_id = t.user_id and m.turn_id = t.id
    ) as own
    cross join lateral (
        values
            ('row_of_another_owner', owner.user_id, t.conversation_id, t.user_id <> owner.user_id),
            ('conversation_missing', t.user_id, t.conversation_id, owner.user_id is null),
            ('turn_without_message', t.user_id, t.id, case
                when t.answers is null then own.requests = 0
                else not exists (
                    select 1
                    from public.messages as m
                    where m.user_id = t.user_id and m.id = t.answers
                      and m.conversation_id = t.conversation_id
                      and m.role = 'user'
                )
            end),
            ('settled_turn_without_reply', t.user_id, t.id,
             t.status <> 'running' and own.replies = 0),
            ('turn_with_two_replies', t.user_id, t.id, own.replies > 1),
            ('turn_without_worker', t.user_id, t.id,
             t.status = 'running' and t.lease_expires_at < lost_since),
            ('draft_left_behind', t.user_id, t.id,
             t.status <> 'running' and (t.draft <> '' or t.draft_parts <> '[]')),
            ('key_used_twice', t.user_id, t.id, exists (
                select 1
                from public.turns as o
                where o.user_id = t.user_id
                  and o.idempotency_key = t.idempotency_key
                  and (o.started_at, o.id) < (t.started_at, t.id)
            ))
    ) as b (name, user_id, id, is_broken)
    where t.id = any (ids)
      and owner.deleting_since is null
      and b.is_broken;
$$;

comment on function private.find_broken_turns is 'What is broken of these turns: owners and missing conversations by the id of the conversation, else by the turn''s.';

create function private.find_left_behind(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select 'summary_of_no_message', s.user_id, s.id
    from public.summaries as s
    where s.id = any (ids)
      and not exists (
          select 1 from public.messages as m where m.user_id = s.user_id and m.id = s.id
      )
    union
    select 'words_of_no_message', d.user_id, d.message_id
    from search.documents as d
    where d.message_id = any (ids)
      and not exists (
          select 1 from public.messages as m where m.user_id = d.user_id and m.id = d.message_id
      )
    union
    select 'import_left_behind', p.user_id, p.import_id
    from private.import_parts as p
    where p.import_id = any (ids)
    group by p.user_id, p.import_id
    having max(p.taken_at) < now() - interval '1 hour';
$$;

comment on function private.find_left_behind is 'Summaries and words of messages that are gone, and imports that nobody goes on with, of these.';

-- Repairs settled_turn_without_reply, turn_without_worker. A turn with a lease has a worker.
create function private.settle_by_reply(user_id uuid, turn_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_conversation private.conversations;
    v_request public.messages;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id
      and (t.status <> 'running' or t.lease_expires_at <= clock_timestamp())
    for update;

    update public.turns as t
    set status = case
            when t.status <> 'running' then t.status
            when m.metadata ->> 'success' = 'true' then 'completed'
            else 'interrupted'
        end,
        draft = '',
        draft_parts = '[]',
        finished_at = coalesce(t.finished_at, m.created_at)
    from public.messages as m
    where t.user_id = v_turn.user_id and t.id = v_turn.id
      and m.user_id = t.user_id and m.turn_id = t.id
      and m.role = 'assistant';

    if found then
        return true;
    end if;

    -- Only a running turn can be interrupted, and a conversation has one of them: one that was settled
    -- and lost its reply waits for that one, and runs for this moment.
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = v_turn.user_id and c.id = v_turn.conversation_id
      and not exists (
          select 1
          from public.turns as t
          where t.user_id = c.user_id and t.conversation_id = c.id
            and t.id <> v_turn.id
            and t.status = 'running'
      );

    if not found then
        return false;
    end if;

    update public.turns as t
    set status = 'running',
        finished_at = null
    where t.user_id = v_turn.user_id and t.id = v_turn.id
      and t.status <> 'running';

    -- The reply goes where the turn's message is: if that is not on the active path, to a branch of its
    -- own beside it.
    v_request := private.message_of_turn(user_id, v_turn);
    if not v_request.seq
        <@ private.path_to(user_id, v_conversation, v_conversation.active_branch)
    then
        perform private.begin_branch(
            user_id, v_conversation.id, v_request.branch, v_request.seq, v_conversation.last_seq + 1
        );

        perform private.interrupt_turn(user_id, turn_id);

        -- What is shown stays so.
        update private.conversations as c
        set active_branch = v_conversation.active_branch
        where c.user_id = v_turn.user_id and c.id = v_conversation.id;
    else
        perform private.interrupt_turn(user_id, turn_id);
    end if;
    return true;
end;
$$;

comment on function private.settle_by_reply is 'Settles a turn without a worker by its stored reply; where there is none, interrupts it.';
