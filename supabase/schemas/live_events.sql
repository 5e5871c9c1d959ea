-- Live events on the private topic conversation:<id>. They are sent inside the transaction that
-- writes the row, so none is about something that was rolled back. They are hints: the
-- tables are the truth, and realtime.send turns its own failures into warnings.
create function private.broadcast_message()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if coalesce(current_setting('message_persistence.is_importing', true), '') = '' then
        perform private.broadcast(new.conversation_id, message => to_jsonb(new));
    end if;
    return null;
end;
$$;

comment on function private.broadcast_message is 'Sends a message that this transaction commits to its conversation''s topic, but for one that is imported: who is listening sees a gap before the next one.';

create trigger messages_broadcast
    after insert on public.messages
    for each row
    when (new.turn_id is null) -- a turn's is sent with the turn's status
    execute function private.broadcast_message();

-- What realtime.send does for one event, done for both of a commit at once: that takes a transaction of
-- its own within this one for each. Where the platform's table isn't what it is here, it is left to that
-- function. Runs as its owner, as the one above: the statements would be planned again each time that
-- another role calls it.
create function private.broadcast(
    conversation_id uuid,
    turn_id uuid default null,
    status text default null,
    failure text default null,
    message jsonb default null
)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
    -- Realtime carries 256 kB a payload on the smallest plan; larger rows are fetched.
    c_row_limit constant integer := 32768;
    v_topic constant text := 'conversation:' || conversation_id;
    v_message jsonb;
    v_status jsonb;
begin
    if message is not null then
        v_message := jsonb_build_object(
            'id', message -> 'id',
            'seq', message -> 'seq',
            'role', message -> 'role',
            'turnId', message -> 'turn_id',
            'row', message
        );
        if pg_column_size(message) > c_row_limit then
            v_message := v_message - 'row';
        end if;
    end if;
    if status is not null then
        v_status := jsonb_strip_nulls(jsonb_build_object(
            'turnId', turn_id, 'status', status, 'message', failure
        ));
    end if;

    -- With ids that grow: random ones would each be on another page of the platform's index.
    insert into realtime.messages (id, topic, extension, event, payload, private)
    select private.new_id(), v_topic, 'broadcast', e.event, e.payload, true
    from (values ('message', v_message), ('status', v_status)) as e (event, payload)
    where e.payload is not null;
exception
    when others then
        if message is not null then
            perform realtime.send(v_message, 'message', v_topic, true);
        end if;
        if status is not null then
            perform realtime.send(v_status, 'status', v_topic, true);
        end if;
end;
$$;

grant execute on function private.broadcast to service_role;
comment on function private.broadcast is 'Sends a message, with its row while that is small, and behind it a turn''s status to their conversation''s topic, either or both, as part of this transaction.';

-- Only the owner listens. The topic is compared as text: a stranger's odd topic must not raise.
-- There is no policy for insert, so clients can't send. As text, since the migration that makes it
-- stands by itself, and the doctor prints it where it is missing.
create function private.listen_policy()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select $policy$create policy listen_to_own_conversation on realtime.messages
    for select to authenticated
    using (
        realtime.messages.extension = 'broadcast'
        and exists (
            select 1
            from public.conversations
            where conversations.user_id = (select auth.uid())
              and 'conversation:' || conversations.id::text = (select realtime.topic())
        )
    );$policy$;
$$;

comment on function private.listen_policy is 'The statement that lets owners listen to their conversations.';

-- Live events carry what was said. Only Realtime may delete them, which it does after three days:
-- their content goes at once with their conversation, whoever deletes it. Runs as its owner, because
-- no policy lets a client change them, and never stands in the way of a removal, a limit on time
-- included. By day, in which the events are kept, and not beyond the life of what is removed, with a
-- day more: the clock may have been set since, and that of an import is another one.
create function private.forget_events()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    update realtime.messages as m
    set topic = 'erased',
        payload = '{}'
    from removed as r
    where m.topic = 'conversation:' || r.id
      and m.extension = 'broadcast'
      and m.private is true -- as the index of hosted projects has it
      and m.inserted_at
          >= greatest(r.created_at - interval '1 day', now() - interval '4 days') at time zone 'utc';

    return null;
exception
    when query_canceled or others then
        raise warning 'live events of deleted conversations are left to Realtime: %', sqlstate;
        return null;
end;
$$;

comment on function private.forget_events is 'Empties the live events of conversations that were deleted, as far as that is allowed.';

create trigger conversations_forget_events
    after delete on public.conversations
    referencing old table as removed
    for each statement
    execute function private.forget_events();

-- Also where a user is moved away: no erasure would find them here later.
alter table public.conversations enable always trigger conversations_forget_events;
