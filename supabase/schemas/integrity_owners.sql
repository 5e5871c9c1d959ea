-- A message has a place after the one before it, and belongs to a conversation of its owner's, the turn
-- that it names, and the parts that its content is of. Whatever it names is looked up by its id alone:
-- it may stand under a wrong user.

create function private.find_broken_messages(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select distinct b.name, b.user_id, b.id
    from public.messages as m
    left join lateral (
        select c.*, c.user_id = m.user_id and c.deleting_since is null as is_here
        from public.conversations as c
        where c.id = m.conversation_id
        limit 1 -- so that it is looked up, whatever the planner takes the table for
    ) as c on true
    left join lateral (
        select o.seq, o.created_at
        from public.messages as o
        where o.user_id = m.user_id and o.conversation_id = m.conversation_id
          and o.seq <= m.seq
          and o.id <> m.id
        order by o.seq desc
        limit 1
    ) as before on true
    cross join lateral (
        values
            ('row_of_another_owner', c.user_id, c.id, m.user_id <> c.user_id),
            ('conversation_missing', m.user_id, m.conversation_id, c.id is null),
            ('message_of_unknown_turn', m.user_id, m.id,
             m.turn_id is not null
             and not exists (select 1 from public.turns as t where t.id = m.turn_id)),
            -- What was imported has the content that it came with.
            ('content_not_of_parts', m.user_id, m.id,
             m.turn_id is not null
             and m.parts <> '[]'
             and not private.parts_agree(m.content, m.metadata, m.parts)),
            ('seq_gap', c.user_id, c.id,
             c.is_here and m.seq <> coalesce(before.seq, 0) + 1 and m.seq is distinct from before.seq),
            ('seq_tie', c.user_id, c.id, c.is_here and m.seq = before.seq),
            ('created_at_out_of_order', c.user_id, c.id,
             c.is_here and m.seq > before.seq and m.created_at <= before.created_at),
            ('branch_wrong', c.user_id, c.id, c.is_here and m.branch <> case
                when c.last_branch = 0 then 0
                else private.branch_at(m.user_id, m.conversation_id, m.seq)
            end),
            ('watermark_too_high', c.user_id, c.id,
             c.is_here
             and not exists (
                 select 1
                 from search.documents as d
                 where d.user_id = m.user_id and d.message_id = m.id
             )
             and not exists (
                 select 1
                 from search.watermarks as w
                 where w.user_id = m.user_id and w.conversation_id = m.conversation_id
                   and w.indexed_seq < m.seq
             ))
    ) as b (name, user_id, id, is_broken)
    where m.id = any (ids)
      and b.is_broken;
$$;

comment on function private.find_broken_messages is 'What is broken of these messages: places, owners and missing conversations by the id of the conversation, else by the message''s.';

-- Repairs conversation_missing. Rows of an account that is gone belong to nobody who could be shown
-- them.
create function private.recover_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_id uuid := recover_conversation.conversation_id;
begin
    if not exists (select 1 from auth.users as u where u.id = recover_conversation.user_id) then
        return false;
    end if;

    -- A turn alone goes where its messages are.
    update public.turns as t
    set conversation_id = m.conversation_id
    from public.messages as m
    join public.conversations as c on c.user_id = m.user_id and c.id = m.conversation_id
    where t.user_id = recover_conversation.user_id
      and t.conversation_id = v_id
      and m.user_id = t.user_id and m.turn_id = t.id
      and m.conversation_id <> v_id;

    if not exists (
        select 1
        from public.messages as m
        where m.user_id = recover_conversation.user_id and m.conversation_id = v_id
        union all
        select 1
        from public.turns as t
        where t.user_id = recover_conversation.user_id and t.conversation_id = v_id
    ) then
        return found; -- nothing is left there, or was: somebody else has repaired it
    end if;

    -- Where another's rows have the same id, it is nobody's: nobody is shown another's.
    if exists (
        select 1
        from public.conversations as c
        where c.id = v_id
          and c.user_id <> recover_conversation.user_id
        union all
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
          and (
              t.conversation_id = recover_conversation.conversation_id
              or t.id in (
                  select m.turn_id
                  from public.messages as m
                  where m.user_id = recover_conversation.user_id
                    and m.conversation_id = v_id
              )
          );

        update public.branches as b
        set conversation_id = v_id
        where b.user_id = recover_conversation.user_id
          and b.conversation_id = recover_conversation.conversation_id;

        update public.summaries as s
        set conversation_id = v_id
        where s.user_id = recover_conversation.user_id
          and s.conversation_id = recover_conversation.conversation_id;
    end if;

    return private.renumber_conversation(user_id, v_id);
end;
$$;

comment on function private.recover_conversation is 'Gives a user''s rows whose conversation is gone one with its id, titled Recovered; false where the account is gone too.';

-- Repairs row_of_another_owner. Whose rows hang together with others of theirs elsewhere, or are at a
-- place that is taken, has a wrong conversation here and not a wrong user: nobody is shown those. In one
-- statement, since rows name each other by their user too; the words are indexed again.
create function private.give_to_owner(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_strayed uuid[];
begin
    select coalesce(array_agg(strayed.user_id), '{}') into v_strayed
    from (
        select m.user_id
        from public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> give_to_owner.user_id
          and (
              exists (
                  select 1
                  from public.messages as o
                  where o.user_id = give_to_owner.user_id
                    and o.conversation_id = m.conversation_id
                    and o.seq = m.seq
              )
              or exists (
                  select 1
                  from public.turns as t
                  where t.user_id = m.user_id and t.id = m.turn_id
                    and t.conversation_id <> m.conversation_id
              )
          )
        union
        select t.user_id
        from public.turns as t
        join public.messages as m on m.user_id = t.user_id and m.turn_id = t.id
        where t.conversation_id = give_to_owner.conversation_id
          and t.user_id <> give_to_owner.user_id
          and m.conversation_id <> t.conversation_id
    ) as strayed;

    perform private.recover_conversation(strayed, give_to_owner.conversation_id)
    from unnest(v_strayed) as strayed;

    with unindexed as (
        delete from search.documents as d
        using public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> all (v_strayed || give_to_owner.user_id)
          and d.user_id = m.user_id and d.message_id = m.id
    ),
    unsummarised as (
        delete from public.summaries as s
        using public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> all (v_strayed || give_to_owner.user_id)
          and s.user_id = m.user_id and m.id in (s.id, s.through_message_id)
    ),
    given as (
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
            end,
            -- And be in a turn: what runs here has no worker that could settle it.
            status = case t.status when 'running' then 'interrupted' else t.status end,
            finished_at = coalesce(t.finished_at, v_now)
        where t.conversation_id = give_to_owner.conversation_id
          and t.user_id <> all (v_strayed || give_to_owner.user_id)
    )
    update public.messages as m
    set user_id = give_to_owner.user_id,
        turn_id = (
            select t.id
            from public.turns as t
            where t.conversation_id = m.conversation_id
              and t.id = m.turn_id
              and not exists (
                  select 1
                  from public.messages as o
                  where o.user_id = give_to_owner.user_id and o.turn_id = t.id
                    and o.role = m.role
              )
        )
    where m.conversation_id = give_to_owner.conversation_id
      and m.user_id <> all (v_strayed || give_to_owner.user_id);

    return true;
end;
$$;

comment on function private.give_to_owner is 'Makes what is in a user''s conversation the user''s own, but for what has strayed into it, which goes to one of its own user''s.';
