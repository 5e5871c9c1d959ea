-- How a conversation is deleted, through whichever door: a short one at once, with all that is in it.
-- Of a long one the row is marked, and so hidden with everything that hangs on it; the rows go in
-- steps, which anybody may take: the next call, or the sweep.

-- Runs as its owner, because whoever deletes may not mark a row, nor delete turns and messages. Each
-- message costs checks of its own: what one transaction deletes at once is bounded over all of its
-- conversations together. Its name comes behind that of the trigger that refuses what is held.
create function private.remove_in_steps()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    c_at_once constant bigint := 2000;
    c_counter constant text := 'message_persistence.deleted_at_once';
    v_count constant bigint := coalesce(nullif(current_setting(c_counter, true), ''), '0')::bigint
        + 1 + old.last_seq;
begin
    if old.deleting_since is null and v_count <= c_at_once then
        perform set_config(c_counter, v_count::text, true);
        return old;
    elsif not exists (select 1 from auth.users as u where u.id = old.user_id) then
        -- The account goes, and can't without all that refers to it.
        return old;
    elsif old.deleting_since is not null then
        return case
            when exists (
                select 1
                from public.messages as m
                where m.user_id = old.user_id and m.conversation_id = old.id
            ) then null
            else old
        end;
    end if;

    update public.conversations as c
    set deleting_since = '-infinity',
        imported = null -- the same may be imported again
    where c.user_id = old.user_id and c.id = old.id;

    -- Its worker finds no turn to complete, as that of any conversation that is gone.
    delete from public.turns as t
    where t.user_id = old.user_id and t.conversation_id = old.id
      and t.status = 'running';

    delete from search.watermarks as w -- nothing of it is indexed any more
    where w.user_id = old.user_id and w.conversation_id = old.id;

    return null;
end;
$$;

comment on function private.remove_in_steps is 'Lets a short conversation be deleted; marks a long one as being deleted instead, and keeps its row until it is empty.';

create trigger conversations_remove_in_steps
    before delete on public.conversations
    for each row
    execute function private.remove_in_steps();

-- Runs as its owner, because messages are append-only for everybody. What is marked is the user's
-- will already: a hold that comes later keeps none of it.
create function private.remove_step(user_id uuid, until timestamptz)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    c_rows constant integer := 200;
    v_id uuid;
    v_seq bigint;
    v_turns uuid[];
begin
    loop
        -- One that somebody else empties just now is left to them.
        select c.id into v_id
        from public.conversations as c
        where c.user_id = remove_step.user_id
          and c.deleting_since <= clock_timestamp()
        order by c.id
        limit 1
        for update skip locked;
        exit when not found;

        v_seq := null;
        loop
            with removed as (
                delete from public.messages as m
                where m.user_id = remove_step.user_id and m.conversation_id = v_id
                  and m.seq <= (
                      select max(next.seq)
                      from (
                          select o.seq
                          from public.messages as o
                          where o.user_id = remove_step.user_id and o.conversation_id = v_id
                            and (v_seq is null or o.seq > v_seq)
                          order by o.seq
                          limit c_rows
                      ) as next
                  )
                  and (v_seq is null or m.seq > v_seq)
                returning m.seq, m.turn_id
            )
            select max(removed.seq), array_agg(removed.turn_id) into v_seq, v_turns from removed;

            -- Behind the last message turns without one: there are none but where something is broken.
            delete from public.turns as t
            where t.user_id = remove_step.user_id
              and t.id = any (coalesce(v_turns, array(
                  select o.id
                  from public.turns as o
                  where o.user_id = remove_step.user_id and o.conversation_id = v_id
                  limit c_rows
              )));
            exit when v_seq is null and not found;

            if clock_timestamp() > until then
                return true;
            end if;
        end loop;

        delete from public.conversations as c
        where c.user_id = remove_step.user_id and c.id = v_id;
        exit when clock_timestamp() > until;
    end loop;

    -- In order, so that the next one is looked up, however many of them the statistics expect.
    return (
        select c.id
        from public.conversations as c
        where c.user_id = remove_step.user_id
          and c.deleting_since <= clock_timestamp()
        order by c.id
        limit 1
    ) is not null;
end;
$$;

grant execute on function private.remove_step to authenticated, service_role;
comment on function private.remove_step is 'Empties and deletes what is marked of a user''s conversations, until a moment; says whether some is left.';

create function public.delete_conversation(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_time constant interval := '2 seconds';
    v_more boolean := false;
begin
    perform private.require_self(delete_conversation.user_id);

    if conversation_id = any (private.being_deleted(user_id)) then
        v_more := private.remove_step(user_id, clock_timestamp() + c_time);
    else
        delete from public.conversations as c
        where c.user_id = delete_conversation.user_id and c.id = delete_conversation.conversation_id;

        if not found then
            v_more := conversation_id = any (private.being_deleted(user_id));
            if not v_more then
                raise exception 'Conversation not found.'
                    using errcode = 'PT404', detail = 'conversation_not_found';
            end if;
        end if;
    end if;

    return jsonb_build_object('id', conversation_id, 'more', v_more);
end;
$$;

revoke all on function public.delete_conversation from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation to authenticated, service_role;
comment on function public.delete_conversation is 'Deletes a conversation with its turns and messages, for good. With more it is hidden at once and not yet empty: the same call goes on, or the sweep. Raises PT404, PT409.';

-- A listing: it reads over all users, and continue_removal then removes for one.
create function public.list_removals(most integer default 1000)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object('users', coalesce(jsonb_agg(unfinished.user_id), '[]'))
    from (
        select c.user_id
        from public.conversations as c
        where c.deleting_since <= clock_timestamp()
        union
        select r.user_id
        from private.erasure_receipts as r
        where r.erased_at is null
          and not private.is_held(r.user_id, null)
        union
        select p.user_id
        from private.import_parts as p
        group by p.user_id, p.import_id
        having max(p.taken_at) < now() - interval '1 hour'
        limit most
    ) as unfinished;
$$;

revoke all on function public.list_removals from public, anon, authenticated, service_role;
grant execute on function public.list_removals to service_role;
comment on function public.list_removals is 'Whose deletions, erasure or import somebody has begun and not ended: {users}.';

create function public.continue_removal(user_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_time constant interval := '2 seconds';
    v_receipt private.erasure_receipts;
begin
    select r.* into v_receipt
    from private.erasure_receipts as r
    where r.user_id = continue_removal.user_id
      and r.erased_at is null
    order by r.requested_at, r.id
    limit 1;

    if found and not private.is_held(user_id, null) then
        return jsonb_build_object('more', (
            public.erase_account(user_id, v_receipt.idempotency_key, v_receipt.requested_by)
            ->> 'remaining'
        )::bigint > 0);
    end if;

    delete from private.import_parts as p
    where p.user_id = continue_removal.user_id
      and p.import_id in (
          select o.import_id
          from private.import_parts as o
          where o.user_id = continue_removal.user_id
          group by o.import_id
          having max(o.taken_at) < now() - interval '1 hour'
      );

    return jsonb_build_object('more', private.remove_step(user_id, clock_timestamp() + c_time));
end;
$$;

revoke all on function public.continue_removal from public, anon, authenticated, service_role;
grant execute on function public.continue_removal to service_role;
comment on function public.continue_removal is 'Goes on with what of a user''s is being deleted, an erasure included, for two seconds: {more}. Forgets the parts of imports that nobody went on with for an hour.';
