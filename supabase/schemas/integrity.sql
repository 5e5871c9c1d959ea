-- What must hold of the stored rows after any run, as checks. Constraints keep most of it; a restore,
-- a dropped constraint or a hand that bypassed them is what is looked for. Each function here looks at
-- rows that are named to it, so that a check of everything goes in steps. Live events are not looked
-- at: they are Realtime's, which drops them after three days.

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
create function private.count_branches(user_id uuid, conversation_id uuid)
returns integer
language sql stable security invoker set search_path = ''
as $$
    select case
        when coalesce(bool_and(
            b.branch = b.nth
            and b.first_seq >= b.previous_seq
            and b.first_seq <= b.last_seq + 1
            and b.fork_seq >= coalesce(above.first_seq, 0)
            and b.fork_seq < coalesce(next.first_seq, 0)
        ), true) then count(b.branch)::integer
    end
    from (
        select o.*,
               row_number() over numbers as nth,
               lag(o.first_seq, 1, 0) over numbers as previous_seq,
               (
                   select c.last_seq
                   from private.conversations as c
                   where c.user_id = o.user_id and c.id = o.conversation_id
               ) as last_seq
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

-- Where places begin is 1, or what an earlier step has ended with: that row is looked at again.
create function private.find_broken_places(
    conversation_ids uuid[],
    starts_at bigint default null,
    newest integer default null,
    most integer default 20001
)
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    with named as (
        select c.id, c.user_id, c.last_seq, c.active_branch, c.last_branch,
               coalesce(find_broken_places.starts_at, nullif(greatest(c.last_seq - newest, 0), 0))
                   as starts_at,
               coalesce((
                   select max(m.seq)
                   from public.messages as m
                   where m.user_id = c.user_id and m.conversation_id = c.id
               ), 0) as newest_seq
        from private.conversations as c
        where c.id = any (conversation_ids)
    ),
    chosen as (
        select n.*,
               coalesce((
                   select w.indexed_seq
                   from search.watermarks as w
                   where w.user_id = n.user_id and w.conversation_id = n.id
               ), n.newest_seq) as indexed_seq
        from named as n
    ),
    placed as (
        select c.user_id, c.id, m.id as message_id, m.seq, m.created_at, m.branch, c.last_branch,
               case when c.starts_at is null then 1 else m.seq end as first_seq,
               c.indexed_seq,
               lag(m.seq) over places as previous_seq,
               lag(m.created_at) over places as previous_created_at
        from chosen as c
        cross join lateral (
            select o.id, o.seq, o.created_at, o.branch
            from public.messages as o
            where o.user_id = c.user_id and o.conversation_id = c.id
              and (c.starts_at is null or o.seq >= c.starts_at)
            order by o.seq
            fetch first (most) rows with ties
        ) as m
        window places as (partition by c.id order by m.seq, m.created_at, m.id)
    )
    select 'seq_gap', p.user_id, p.id
    from placed as p
    where p.seq <> coalesce(p.previous_seq + 1, p.first_seq)
      and p.seq is distinct from p.previous_seq
    union
    select 'seq_tie', p.user_id, p.id from placed as p where p.seq = p.previous_seq
    union
    select 'created_at_out_of_order', p.user_id, p.id
    from placed as p
    where p.created_at <= p.previous_created_at
    union
    select 'last_seq_wrong', c.user_id, c.id
    from chosen as c
    where c.last_seq <> c.newest_seq
    union
    select 'branch_wrong', c.user_id, c.id
    from chosen as c
    where not c.active_branch between 0 and c.last_branch
       or c.last_branch <> coalesce(private.count_branches(c.user_id, c.id), -1)
    union
    select 'branch_wrong', p.user_id, p.id
    from placed as p
    where p.branch <> case
        when p.last_branch = 0 then 0
        else private.branch_at(p.user_id, p.id, p.seq)
    end
    union
    -- What the watermark says is in the index, and isn't, or could come to be said of a message.
    select 'watermark_too_high', c.user_id, c.id
    from chosen as c
    where find_broken_places.newest is null
      and c.indexed_seq > c.newest_seq
    union
    select 'watermark_too_high', p.user_id, p.id
    from placed as p
    where find_broken_places.newest is null
      and p.seq <= p.indexed_seq
      and not exists (
          select 1
          from search.documents as d
          where d.user_id = p.user_id and d.message_id = p.message_id
      );
$$;

comment on function private.find_broken_places is 'What is broken of the places in these conversations: from a seq on, or among the newest messages, so many of each at most. Ids are those of conversations.';

-- What a row names is looked up by its id alone: it may stand under a wrong user.
create function private.find_broken_messages(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    with seen as (
        select m.id, m.user_id, m.conversation_id, m.turn_id,
               m.parts = '[]' or private.parts_agree(m.content, m.metadata, m.parts) as is_agreed,
               (
                   select c.user_id from public.conversations as c where c.id = m.conversation_id
               ) as owner_id,
               (select t.id from public.turns as t where t.id = m.turn_id) as known_turn_id
        from public.messages as m
        where m.id = any (ids)
    )
    select 'row_of_another_owner', s.owner_id, s.conversation_id
    from seen as s
    where s.user_id <> s.owner_id
    union
    select 'conversation_missing', s.user_id, s.conversation_id
    from seen as s
    where s.owner_id is null
    union
    select 'message_of_unknown_turn', s.user_id, s.id
    from seen as s
    where s.turn_id is not null
      and s.known_turn_id is null
    union
    -- What was imported has the content that it came with.
    select 'content_not_of_parts', s.user_id, s.id
    from seen as s
    where s.turn_id is not null
      and not s.is_agreed;
$$;

comment on function private.find_broken_messages is 'What is broken of these messages: owners and missing conversations by the id of the conversation, else by the message''s.';

-- Of a conversation that is being deleted, messages may be gone already.
create function private.find_broken_turns(ids uuid[], lost_since timestamptz)
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    with seen as (
        select t.*,
               c.user_id as owner_id,
               case
                   when t.answers is null then (
                       select m.id
                       from public.messages as m
                       where m.user_id = t.user_id and m.turn_id = t.id
                         and m.role = 'user'
                       limit 1
                   )
                   else (
                       select m.id
                       from public.messages as m
                       where m.user_id = t.user_id and m.id = t.answers
                         and m.conversation_id = t.conversation_id
                         and m.role = 'user'
                   )
               end as request_id,
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
        from public.turns as t
        left join public.conversations as c on c.id = t.conversation_id
        where t.id = any (ids)
          and c.deleting_since is null
    )
    select 'turn_without_message', s.user_id, s.id from seen as s where s.request_id is null
    union
    select 'settled_turn_without_reply', s.user_id, s.id
    from seen as s
    where s.status <> 'running'
      and s.replies = 0
    union
    select 'turn_with_two_replies', s.user_id, s.id from seen as s where s.replies > 1
    union
    select 'key_used_twice', s.user_id, s.id from seen as s where s.same_key_id is not null
    union
    select 'turn_without_worker', s.user_id, s.id
    from seen as s
    where s.status = 'running'
      and s.lease_expires_at < lost_since
    union
    select 'draft_left_behind', s.user_id, s.id
    from seen as s
    where s.status <> 'running'
      and (s.draft <> '' or s.draft_parts <> '[]')
    union
    select 'row_of_another_owner', s.owner_id, s.conversation_id
    from seen as s
    where s.user_id <> s.owner_id
    union
    select 'conversation_missing', s.user_id, s.conversation_id
    from seen as s
    where s.owner_id is null;
$$;

comment on function private.find_broken_turns is 'What is broken of these turns: owners and missing conversations by the id of the conversation, else by the turn''s.';
